// The task service (containerd.task.v2.Task): one function per method. Numbers in brackets are those of the messages' fields.
#define _GNU_SOURCE
#include "process.h"
#include "ready.h"
#include "json.h"
#include "rootfs.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A call of the runtime on behalf of a request that changes no process's state by itself. */
struct errand {
	struct call call;
	struct request *request;
	const char *what;
	void (*done)(struct errand *errand);
};

static void errand_done(struct call *call, bool ok)
{
	struct errand *errand = (struct errand *)call;
	char reason[REASON_MAX];
	if (ok) errand->done(errand);
	else {
		call_reason(call, reason);
		request_refuse(errand->request, UNKNOWN, "OCI runtime %s failed: %s", errand->what, reason);
	}
	call_finish(call);
	free(errand);
}

static void run_errand(struct request *request, const char *what, const char *const arguments[], int input, void (*done)(struct errand *), void (*ended)(struct call *, bool))
{
	struct errand *errand = calloc(1, sizeof *errand);
	if (errand == NULL) give_up("no memory");
	*errand = (struct errand){ .request = request, .what = what, .done = done };
	if (runtime_call(&errand->call, arguments, NULL, input, ended)) return;
	request_refuse(request, UNKNOWN, "the OCI runtime cannot be started: %s", strerror(errno));
	free(errand);
}

/* The process that a message names by its id [1] and exec id [2]; NULL: the request has been refused. */
static struct process *named(struct request *request, const struct message *message)
{
	char exec_id[ID_MAX];
	struct process *process = message_text(message, 2, exec_id, sizeof exec_id) ? process_find(exec_id) : NULL;
	if (process == NULL && exec_id[0] == '\0') request_refuse(request, NOT_FOUND, "container not created: not found");
	else if (process == NULL) request_refuse(request, NOT_FOUND, "process does not exist %s: not found", exec_id);
	return process;
}

/* The container's first process, for methods that have no exec id. */
static struct process *container(struct request *request)
{
	struct process *process = process_find("");
	if (process == NULL) request_refuse(request, NOT_FOUND, "container not created: not found");
	return process;
}

static void create(struct request *request, const struct message *message)
{
	char bundle[TEXT_MAX];
	if (!message_text(message, 2, bundle, sizeof bundle) || strcmp(bundle, shim.bundle) != 0) request_refuse(request, INVALID_ARGUMENT, "this shim's bundle is %s", shim.bundle);
	else process_create(request, message);
}

static void exec(struct request *request, const struct message *message)
{
	process_add(request, message);
}

static void start(struct request *request, const struct message *message)
{
	struct process *process = named(request, message);
	if (process != NULL) process_start(process, request);
}

static void delete(struct request *request, const struct message *message)
{
	struct process *process = named(request, message);
	if (process != NULL) process_delete(process, request);
}

static void wait_for(struct request *request, const struct message *message)
{
	struct process *process = named(request, message);
	if (process != NULL) process_wait(process, request);
}

static void state(struct request *request, const struct message *message)
{
	struct process *process = named(request, message);
	if (process != NULL) process_ask(process, request);
}

static void answer_empty(struct errand *errand)
{
	request_answer(errand->request, NULL);
}

static bool says(const char *text, const char *words)
{
	return strcasestr(text, words) != NULL;
}

static void kill_ended(struct call *call, bool ok)
{
	struct errand *errand = (struct errand *)call;
	char reason[REASON_MAX];
	if (!ok) call_reason(call, reason);
	if (ok) request_answer(errand->request, NULL);
	else if (says(reason, "process already finished") || says(reason, "container not running") || says(reason, "no such process")) request_refuse(errand->request, NOT_FOUND, "process already finished: not found");
	else if (says(reason, "does not exist")) request_refuse(errand->request, NOT_FOUND, "no such container: not found");
	else request_refuse(errand->request, UNKNOWN, "unknown error after kill: %s", reason);
	call_finish(call);
	free(errand);
}

static void kill_process(struct request *request, const struct message *message) /* signal [3], all [4] */
{
	struct process *process = named(request, message);
	uint64_t number = message_number(message, 3);
	bool all = message_number(message, 4) != 0;
	char text[16];
	if (process == NULL) return;
	if (number > 64) request_refuse(request, INVALID_ARGUMENT, "there is no signal %llu", (unsigned long long)number);
	else if (process->exec_id[0] == '\0') {
		if (process->state == STOPPED && !all) {
			request_refuse(request, NOT_FOUND, "process already finished: not found");
			return;
		}
		snprintf(text, sizeof text, "%u", (unsigned)number);
		run_errand(request, "kill", all ? (const char *[]){ "kill", "--all", shim.id, text, NULL } : (const char *[]){ "kill", shim.id, text, NULL }, -1, answer_empty, kill_ended);
	} else if (process->state == STOPPED || process->ended) request_refuse(request, NOT_FOUND, "process already finished: not found");
	else if (process->pid <= 0) request_refuse(request, FAILED_PRECONDITION, "process not created: failed precondition");
	// With what it has started: an OCI runtime makes an exec the leader of a group. One that is none, or not yet, is killed alone.
	else if (number == SIGKILL && kill(-process->pid, SIGKILL) == 0) request_answer(request, NULL);
	else if (kill(process->pid, (int)number) != 0) request_refuse(request, errno == ESRCH ? NOT_FOUND : UNKNOWN, "kill: %s", strerror(errno));
	else request_answer(request, NULL);
}

static void answer_pids(struct errand *errand)
{
	size_t length = 0;
	char *text = call_output(&errand->call, &length);
	struct json list = json_of(text, length), at = { NULL, NULL };
	struct out body = { 0 };
	while (json_next(list, &at, NULL)) {
		struct out process = { 0 };
		long pid = strtol(at.at, NULL, 10);
		if (pid <= 0 || ready_hides((pid_t)pid)) continue;
		out_number(&process, 1, (uint64_t)pid);
		out_message(&body, 1, &process);
	}
	free(text);
	request_answer(errand->request, &body);
}

static void pids(struct request *request, const struct message *message)
{
	(void)message;
	if (container(request) != NULL) run_errand(request, "ps", (const char *[]){ "ps", "--format", "json", shim.id, NULL }, -1, answer_pids, errand_done);
}

static void set_paused(struct errand *errand, bool paused)
{
	struct process *process = process_find("");
	struct out event = { 0 };
	if (process != NULL && process->state == RUNNING) process->paused = paused;
	out_text(&event, 1, shim.id);
	event_tell(paused ? "/tasks/paused" : "/tasks/resumed", paused ? "TaskPaused" : "TaskResumed", &event);
	request_answer(errand->request, NULL);
}

static void is_paused(struct errand *errand)
{
	set_paused(errand, true);
}

static void is_resumed(struct errand *errand)
{
	set_paused(errand, false);
}

static void pause_now(void *request)
{
	run_errand(request, "pause", (const char *[]){ "pause", shim.id, NULL }, -1, is_paused, errand_done);
}

static void pause_container(struct request *request, const struct message *message)
{
	(void)message;
	struct process *process = container(request);
	if (process == NULL) return;
	if (process->state != RUNNING || process->paused) request_refuse(request, FAILED_PRECONDITION, "cannot pause a container that is %s: failed precondition", process->paused ? "paused" : "not running");
	else ready_drop(pause_now, request); /* the runtime cannot finish one that it is making in a container that stands still */
}

static void resume(struct request *request, const struct message *message)
{
	(void)message;
	struct process *process = container(request);
	if (process == NULL) return;
	if (process->state != RUNNING || !process->paused) request_refuse(request, FAILED_PRECONDITION, "cannot resume a container that is not paused: failed precondition");
	else run_errand(request, "resume", (const char *[]){ "resume", shim.id, NULL }, -1, is_resumed, errand_done);
}

static void update(struct request *request, const struct message *message) /* resources [2]: an Any of JSON */
{
	struct message any;
	if (container(request) == NULL) return;
	ready_drop(NULL, NULL); /* there may be limits from now on */
	int input = memfd_create("resources", MFD_CLOEXEC);
	if (!message_inner(message, 2, &any) || input < 0 || write(input, any.fields[2].bytes, any.fields[2].length) != (ssize_t)any.fields[2].length || lseek(input, 0, SEEK_SET) != 0)
		request_refuse(request, INVALID_ARGUMENT, "malformed resources");
	else run_errand(request, "update", (const char *[]){ "update", "--resources", "-", shim.id, NULL }, input, answer_empty, errand_done);
	if (input >= 0) close(input);
}

static void resize(struct request *request, const struct message *message) /* width [3], height [4] */
{
	struct process *process = named(request, message);
	if (process == NULL) return;
	if (process->stdio.console != NULL) console_resize(process->stdio.console, (unsigned)message_number(message, 3), (unsigned)message_number(message, 4));
	request_answer(request, NULL);
}

static void close_io(struct request *request, const struct message *message) /* stdin [3] */
{
	struct process *process = named(request, message);
	if (process == NULL) return;
	if (message_number(message, 3) != 0) stdio_close_input(&process->stdio);
	request_answer(request, NULL);
}

static void stats(struct request *request, const struct message *message)
{
	struct process *process = container(request);
	struct out body = { 0 };
	(void)message;
	if (process == NULL) return;
	if (process->state == STOPPED || !cgroup_figures(process->pid, &body, 1)) {
		out_free(&body);
		request_refuse(request, NOT_FOUND, "the control group of container %s: not found", shim.id);
	} else request_answer(request, &body);
}

static void connect_to(struct request *request, const struct message *message)
{
	struct process *process = process_find("");
	struct out body = { 0 };
	(void)message;
	out_number(&body, 1, (uint64_t)getpid());
	out_number(&body, 2, process == NULL ? 0 : (uint64_t)process->pid);
	request_answer(request, &body);
}

static void shutdown_shim(struct request *request, const struct message *message)
{
	(void)message;
	request_answer(request, NULL);
	/* Also while a container is being made: whoever wanted it has given up, and its maker dies with the shim. */
	if (process_find("") == NULL) shim_end();
}

static const struct { const char *name; void (*serve)(struct request *, const struct message *); } methods[] = {
	{ "State", state }, { "Create", create }, { "Start", start }, { "Delete", delete }, { "Pids", pids }, { "Pause", pause_container }, { "Resume", resume },
	{ "Kill", kill_process }, { "Exec", exec }, { "ResizePty", resize }, { "CloseIO", close_io }, { "Update", update }, { "Wait", wait_for }, { "Stats", stats },
	{ "Connect", connect_to }, { "Shutdown", shutdown_shim },
};

void task_call(struct request *request, const char *method, const struct message *message)
{
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
		if (strcmp(methods[i].name, method) != 0) continue;
		methods[i].serve(request, message);
		return;
	}
	request_refuse(request, UNIMPLEMENTED, "method %s", method);
}
