// The life of a process: made by the runtime, adopted by its pid, ended, told, deleted. Each of its steps is a call that ends later.
#define _GNU_SOURCE
#include "process.h"
#include "json.h"
#include "ready.h"
#include "rootfs.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXECS_MAX 4096u
#define FORGOTTEN_MS 5000  /* containerd ends the shim at once */
#define FILE_MAX (TEXT_MAX + ID_MAX + 8u) /* path of a file in the bundle */

static struct process *first, *execs;
static unsigned exec_count;

static void settle(struct process *process);

static bool is_first(const struct process *process)
{
	return process->exec_id[0] == '\0';
}

struct process *process_find(const char *exec_id)
{
	if (exec_id[0] == '\0') return first != NULL && first->state != BEING_CREATED ? first : NULL;
	for (struct process *process = execs; process != NULL; process = process->next)
		if (strcmp(process->exec_id, exec_id) == 0) return process;
	return NULL;
}

static void streams_changed(struct stdio *stdio)
{
	settle((struct process *)((char *)stdio - offsetof(struct process, stdio)));
}

static struct process *of_call(struct call *call)
{
	return (struct process *)((char *)call - offsetof(struct process, call));
}

static struct process *process_new(void)
{
	struct process *process = calloc(1, sizeof *process);
	if (process == NULL) give_up("no memory");
	process->call.output = -1;
	stdio_init(&process->stdio, streams_changed);
	return process;
}

static void process_free(struct process *process)
{
	if (process == first) first = NULL;
	for (struct process **at = &execs; *at != NULL; at = &(*at)->next) {
		if (*at != process) continue;
		*at = process->next;
		exec_count--;
		break;
	}
	stdio_close(&process->stdio);
	child_forget(&process->child);
	free(process->in);
	free(process->out);
	free(process->err);
	free(process->spec);
	free(process);
}

/* The paths of the streams, which are told again by State. */
static bool read_streams(struct process *process, const struct message *message, unsigned from)
{
	char text[TEXT_MAX];
	char **paths[] = { &process->in, &process->out, &process->err };
	for (unsigned i = 0; i < 3; i++) {
		if (!message_text(message, from + i, text, sizeof text)) return false;
		*paths[i] = strdup(text);
		if (*paths[i] == NULL) give_up("no memory");
	}
	return true;
}

static void refuse_and_free(struct process *process, const char *what, const char *reason)
{
	struct request *request = process->request;
	process->request = NULL;
	request_refuse(request, UNKNOWN, "%s: %s", what, reason);
	process_free(process);
}

static const char *socket_of(struct process *process)
{
	return process->stdio.console == NULL ? NULL : console_socket(process->stdio.console);
}

static void told_waiters(struct process *process)
{
	while (process->waiters != NULL) {
		struct request *waiter = process->waiters;
		process->waiters = waiter->next;
		struct out body = { 0 };
		out_number(&body, 1, process->exit_status);
		out_time(&body, 2, &process->exited_at);
		request_answer(waiter, &body);
	}
}

static void rest_ended(struct call *call, bool ok)
{
	if (!ok) say("the rest of the container's processes could not be ended");
	call_finish(call);
}

/* Processes of a container without a pid namespace of its own outlive its first one: they are ended, as containerd's shim does. */
static void end_the_rest(void)
{
	static struct call rest = { .output = -1 };
	runtime_call(&rest, (const char *[]){ "kill", "--all", shim.id, "9", NULL }, NULL, -1, rest_ended);
}

static bool has_own_pids(void)
{
	char *text = runtime_read_file("config.json", &(size_t){ 0 });
	bool own = false;
	struct json at = { NULL, NULL }, namespaces = json_member(json_member(json_of(text, text == NULL ? 0 : strlen(text)), "linux"), "namespaces");
	while (json_next(namespaces, &at, NULL))
		if (json_is(json_member(at, "type"), "pid")) own = json_member(at, "path").at == NULL || json_is(json_member(at, "path"), "");
	free(text);
	return own;
}

static void tell_end(struct process *process)
{
	struct out event = { 0 };
	process->state = STOPPED;
	process->paused = false;
	out_text(&event, 1, shim.id);
	out_text(&event, 2, is_first(process) ? shim.id : process->exec_id);
	out_number(&event, 3, (uint64_t)process->pid);
	out_number(&event, 4, process->exit_status);
	out_time(&event, 5, &process->exited_at);
	event_tell("/tasks/exit", "TaskExit", &event);
	told_waiters(process);
	if (!is_first(process)) return;
	oom_forget();
	ready_drop(NULL, NULL);
	if (!has_own_pids()) end_the_rest();
}

static void process_ended(struct child *child, int status)
{
	struct process *process = (struct process *)child;
	process->exit_status = WIFSIGNALED(status) ? 128u + (unsigned)WTERMSIG(status) : (unsigned)WEXITSTATUS(status);
	clock_gettime(CLOCK_REALTIME, &process->exited_at);
	process->ended = true;
	stdio_process_ended(&process->stdio);
	settle(process);
}

static void tell_state(const struct process *process, struct request *request)
{
	/* containerd.v1.types.Status, by our states */
	static const unsigned status[] = { [BEING_CREATED] = 0, [CREATED] = 1, [STARTING] = 1, [RUNNING] = 2, [STOPPED] = 3 };
	struct out body = { 0 };
	out_text(&body, 1, shim.id);
	out_text(&body, 2, shim.bundle);
	out_number(&body, 3, (uint64_t)process->pid);
	out_number(&body, 4, process->paused ? 4 : status[process->state]);
	out_text(&body, 5, process->in);
	out_text(&body, 6, process->out);
	out_text(&body, 7, process->err);
	out_number(&body, 8, process->terminal);
	out_number(&body, 9, process->exit_status);
	out_time(&body, 10, &process->exited_at);
	out_text(&body, 11, process->exec_id);
	request_answer(request, &body);
}

static void told_askers(struct process *process)
{
	while (process->askers != NULL && process->state != STARTING) {
		struct request *asker = process->askers;
		process->askers = asker->next;
		tell_state(process, asker);
	}
}

/* Whoever asks for a process that is being started may have lost the answer to its start: "created" would say that it has not run. */
void process_ask(struct process *process, struct request *request)
{
	request->next = process->askers;
	process->askers = request;
	told_askers(process);
}

static void tell_started(struct process *process)
{
	struct out event = { 0 }, body = { 0 };
	process->state = RUNNING;
	out_text(&event, 1, shim.id);
	if (is_first(process)) {
		out_number(&event, 2, (uint64_t)process->pid);
		event_tell("/tasks/start", "TaskStart", &event);
	} else {
		out_text(&event, 2, process->exec_id);
		out_number(&event, 3, (uint64_t)process->pid);
		event_tell("/tasks/exec-started", "TaskExecStarted", &event);
	}
	out_number(&body, 1, (uint64_t)process->pid);
	request_answer(process->request, &body);
	process->request = NULL;
	if (!is_first(process)) ready_note(process);
}

static void tell_created(struct process *process)
{
	struct out event = { 0 }, streams = { 0 }, body = { 0 };
	process->state = CREATED;
	out_text(&streams, 1, process->in);
	out_text(&streams, 2, process->out);
	out_text(&streams, 3, process->err);
	out_number(&streams, 4, process->terminal);
	out_text(&event, 1, shim.id);
	out_text(&event, 2, shim.bundle);
	out_message(&event, 4, &streams);
	out_number(&event, 6, (uint64_t)process->pid);
	event_tell("/tasks/create", "TaskCreate", &event);
	out_number(&body, 1, (uint64_t)process->pid);
	request_answer(process->request, &body);
	process->request = NULL;
}

/* Whoever deleted the container died before it ended the shim: no listing shows it any more. Ending by itself it has containerd take the rest away. */
static void forgotten(struct timer *timer)
{
	(void)timer;
	shim_end();
}

static void tell_deleted(struct process *process)
{
	struct request *request = process->request;
	struct out body = { 0 };
	out_number(&body, 1, (uint64_t)process->pid);
	out_number(&body, 2, process->exit_status);
	out_time(&body, 3, &process->exited_at);
	if (is_first(process)) {
		struct out event = { 0 };
		while (execs != NULL && !execs->calling) process_free(execs);
		if (!rootfs_unmount()) say("the rootfs cannot be unmounted: %s", strerror(errno));
		else runtime_forget();
		out_text(&event, 1, shim.id);
		out_number(&event, 2, (uint64_t)process->pid);
		out_number(&event, 3, process->exit_status);
		out_time(&event, 4, &process->exited_at);
		event_tell("/tasks/delete", "TaskDelete", &event);
		static struct timer alone = { .fire = forgotten };
		timer_set(&alone, FORGOTTEN_MS);
	}
	process->request = NULL;
	process_free(process);
	request_answer(request, &body);
}

/* Takes every step for which all is there. The process may be gone afterwards. */
static void settle(struct process *process)
{
	if (process->made && process->stdio.ready && process->request != NULL) {
		if (process->state == BEING_CREATED) tell_created(process);
		else if (process->state == STARTING) tell_started(process);
	}
	/* An end is never told before its start; a container that was made and ended without one is told at once. */
	if (process->ended && (process->state == RUNNING || (process->state == CREATED && is_first(process)))) tell_end(process);
	told_askers(process);
	if (process->deleting && process->deleted && process->state == STOPPED && stdio_is_over(&process->stdio)) tell_deleted(process);
}

static bool adopt(struct process *process, const char *pid_file)
{
	if (!runtime_read_pid(pid_file, &process->pid)) return false;
	process->child.ended = process_ended;
	child_adopt(&process->child, process->pid);
	return true;
}

static void create_done(struct call *call, bool ok)
{
	struct process *process = of_call(call);
	char reason[REASON_MAX];
	process->calling = false;
	stdio_passed_on(&process->stdio);
	if (!ok) {
		call_reason(call, reason);
		if (!rootfs_unmount()) say("the rootfs cannot be unmounted: %s", strerror(errno));
		refuse_and_free(process, "OCI runtime create failed", reason);
	} else {
		if (!adopt(process, "init.pid")) refuse_and_free(process, "failed to retrieve OCI runtime container pid", strerror(errno));
		else if (process->stdio.console != NULL && !console_take(process->stdio.console)) refuse_and_free(process, "failed to retrieve console master", "the runtime sent none");
		else {
			process->made = true;
			settle(process);
		}
	}
	strangers_drop();
}

void process_create(struct request *request, const struct message *create)
{
	char reason[REASON_MAX];
	if (first != NULL) {
		request_refuse(request, ALREADY_EXISTS, "container %s: already exists", shim.id);
		return;
	}
	struct process *process = first = process_new();
	process->request = request;
	process->terminal = message_number(create, 4) != 0;
	if (!read_streams(process, create, 5)) {
		refuse_and_free(process, "stdio", "a path is too long or malformed");
		return;
	}
	if (message_number(create, 8) != 0 || create->fields[8].length > 0) {
		refuse_and_free(process, "checkpoint", "this shim restores none");
		return;
	}
	if (!runtime_configure(create, reason) || !rootfs_mount(create, reason) || !stdio_open(&process->stdio, process->terminal, process->in, process->out, process->err, reason)) {
		rootfs_unmount();
		refuse_and_free(process, "failed to create the container", reason);
		return;
	}
	char pid_file[TEXT_MAX + 16];
	snprintf(pid_file, sizeof pid_file, "%s/init.pid", shim.bundle);
	const char *arguments[12] = { "create", "--bundle", shim.bundle, "--pid-file", pid_file };
	unsigned count = 5;
	if (process->terminal) {
		arguments[count++] = "--console-socket";
		arguments[count++] = socket_of(process);
	}
	arguments[count] = shim.id;
	strangers_keep();
	process->calling = runtime_call(&process->call, arguments, process->stdio.given, -1, create_done);
	if (process->calling) return;
	strangers_drop();
	refuse_and_free(process, "the OCI runtime cannot be started", strerror(errno));
}

static bool exec_id_ok(const char *exec_id)
{
	return exec_id[0] != '\0' && strchr(exec_id, '/') == NULL && strlen(exec_id) < 200 && exec_id[0] != '.';
}

void process_add(struct request *request, const struct message *exec)
{
	struct message spec;
	char exec_id[ID_MAX];
	if (!message_text(exec, 2, exec_id, sizeof exec_id) || !exec_id_ok(exec_id) || !message_inner(exec, 7, &spec)) {
		request_refuse(request, INVALID_ARGUMENT, "malformed exec: an id of 1 to 199 bytes without a slash, and a process, are needed");
		return;
	}
	if (process_find(exec_id) != NULL) {
		request_refuse(request, ALREADY_EXISTS, "id %s: already exists", exec_id);
		return;
	}
	if (first == NULL || first->state != RUNNING || first->paused || first->deleting) {
		request_refuse(request, FAILED_PRECONDITION, "cannot exec in a %s container: failed precondition", first != NULL && first->paused ? "paused" : "not running");
		return;
	}
	if (exec_count == EXECS_MAX) {
		request_refuse(request, RESOURCE_EXHAUSTED, "%u execs of this container are not deleted yet: no more are taken", EXECS_MAX);
		return;
	}
	struct process *process = process_new();
	process->state = CREATED;
	memcpy(process->exec_id, exec_id, sizeof exec_id);
	process->terminal = message_number(exec, 3) != 0;
	process->next = execs;
	execs = process;
	exec_count++;
	process->request = request;
	if (!read_streams(process, exec, 4)) {
		refuse_and_free(process, "stdio", "a path is too long or malformed");
		return;
	}
	process->request = NULL;
	process->spec_length = spec.fields[2].length;
	process->spec = malloc(process->spec_length + 1);
	if (process->spec == NULL) give_up("no memory");
	if (process->spec_length > 0) memcpy(process->spec, spec.fields[2].bytes, process->spec_length);
	struct out event = { 0 };
	out_text(&event, 1, shim.id);
	out_text(&event, 2, exec_id);
	event_tell("/tasks/exec-added", "TaskExecAdded", &event);
	request_answer(request, NULL);
}

static void start_done(struct call *call, bool ok)
{
	struct process *process = of_call(call);
	char reason[REASON_MAX];
	process->calling = false;
	if (ok) {
		process->made = true;
		oom_watch(process->pid);
		call_finish(call);
		settle(process);
		return;
	}
	struct request *request = process->request;
	process->request = NULL;
	process->state = CREATED;
	call_reason(call, reason);
	call_finish(call);
	request_refuse(request, UNKNOWN, "OCI runtime start failed: %s", reason);
	settle(process);
}

static void exec_files(const struct process *process, char pid_file[FILE_MAX], char spec_file[FILE_MAX])
{
	snprintf(pid_file, FILE_MAX, "%s/%s.pid", shim.bundle, process->exec_id);
	snprintf(spec_file, FILE_MAX, "%s/%s.json", shim.bundle, process->exec_id);
}

static void exec_failed(struct process *process, const char *what, const char *reason)
{
	struct request *request = process->request;
	process->request = NULL;
	/* As one that has ended: it can be deleted, and whoever waits for it is answered. */
	process->state = STOPPED;
	process->exit_status = 255;
	clock_gettime(CLOCK_REALTIME, &process->exited_at);
	stdio_close(&process->stdio);
	told_waiters(process);
	told_askers(process);
	request_refuse(request, UNKNOWN, "%s: %s", what, reason);
}

static void exec_done(struct call *call, bool ok)
{
	struct process *process = of_call(call);
	char reason[REASON_MAX], pid_file[FILE_MAX], spec_file[FILE_MAX];
	process->calling = false;
	stdio_passed_on(&process->stdio);
	exec_files(process, pid_file, spec_file);
	unlink(spec_file);
	if (!ok) {
		call_reason(call, reason);
		exec_failed(process, "OCI runtime exec failed", reason);
	} else {
		if (!adopt(process, pid_file)) exec_failed(process, "failed to retrieve OCI runtime exec pid", "the runtime wrote none");
		else if (process->stdio.console != NULL && !console_take(process->stdio.console)) exec_failed(process, "failed to retrieve console master", "the runtime sent none");
		else {
			process->made = true;
			settle(process);
		}
	}
	unlink(pid_file);
	strangers_drop();
	if (first == NULL && !process->deleting) process_free(process); /* its container was deleted meanwhile */
}

static bool write_spec(const struct process *process, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) return false;
	size_t done = 0;
	while (done < process->spec_length) {
		ssize_t wrote = write(fd, process->spec + done, process->spec_length - done);
		if (wrote <= 0) break;
		done += (size_t)wrote;
	}
	close(fd);
	return done == process->spec_length;
}

static void start_by_runtime(struct process *process)
{
	char pid_file[FILE_MAX], spec_file[FILE_MAX];
	exec_files(process, pid_file, spec_file);
	const char *arguments[12] = { "exec", "--process", spec_file, "--detach", "--pid-file", pid_file };
	unsigned count = 6;
	if (process->terminal) {
		arguments[count++] = "--console-socket";
		arguments[count++] = socket_of(process);
	}
	arguments[count] = shim.id;
	strangers_keep();
	process->calling = write_spec(process, spec_file) && runtime_call(&process->call, arguments, process->stdio.given, -1, exec_done);
	if (process->calling) return;
	strangers_drop();
	unlink(spec_file);
	exec_failed(process, "the OCI runtime cannot be started", strerror(errno));
}

static void ready_told(struct process *process, bool runs)
{
	if (!runs) {
		start_by_runtime(process);
		return;
	}
	process->calling = false;
	stdio_passed_on(&process->stdio);
	process->made = true;
	settle(process);
}

static void start_exec(struct process *process)
{
	char reason[REASON_MAX];
	process->child.ended = process_ended;
	if (!stdio_open(&process->stdio, process->terminal, process->in, process->out, process->err, reason)) {
		exec_failed(process, "failed to open the streams of the exec", reason);
		return;
	}
	process->calling = true;
	if (!ready_take(process, ready_told)) start_by_runtime(process);
}

void process_start(struct process *process, struct request *request)
{
	if (process->state != CREATED || process->calling || process->deleting) {
		request_refuse(request, FAILED_PRECONDITION, "cannot start a process that is %s: failed precondition", process->state == STOPPED ? "stopped" : process->state == CREATED ? "being deleted" : "running");
		return;
	}
	process->request = request;
	process->made = false;
	process->state = STARTING;
	if (!is_first(process)) {
		start_exec(process);
		return;
	}
	process->calling = runtime_call(&process->call, (const char *[]){ "start", shim.id, NULL }, NULL, -1, start_done);
	if (process->calling) return;
	process->request = NULL;
	process->state = CREATED;
	request_refuse(request, UNKNOWN, "the OCI runtime cannot be started: %s", strerror(errno));
}

static void delete_done(struct call *call, bool ok)
{
	struct process *process = of_call(call);
	char reason[REASON_MAX];
	process->calling = false;
	if (!ok) call_reason(call, reason);
	call_finish(call);
	if (!ok && strstr(reason, "does not exist") == NULL) {
		struct request *request = process->request;
		process->request = NULL;
		process->deleting = false;
		request_refuse(request, UNKNOWN, "failed to delete task: %s", reason);
		return;
	}
	process->deleted = true;
	settle(process);
}

void process_delete(struct process *process, struct request *request)
{
	if (process->calling || process->deleting || process->state == STARTING || process->state == RUNNING) {
		request_refuse(request, FAILED_PRECONDITION, "cannot delete a %s process: failed precondition", process->state == RUNNING ? "running" : "changing");
		return;
	}
	process->deleting = true;
	process->request = request;
	stdio_finish(&process->stdio);
	if (is_first(process)) {
		process->calling = runtime_call(&process->call, (const char *[]){ "delete", shim.id, NULL }, NULL, -1, delete_done);
		if (process->calling) return;
		process->deleting = false;
		process->request = NULL;
		request_refuse(request, UNKNOWN, "the OCI runtime cannot be started: %s", strerror(errno));
		return;
	}
	process->state = STOPPED; /* also one that was never started */
	process->deleted = true;
	settle(process);
}

void process_wait(struct process *process, struct request *request)
{
	request->next = process->waiters;
	process->waiters = request;
	if (process->state == STOPPED) told_waiters(process);
}
