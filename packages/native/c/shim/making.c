// How a process is made: the runtime creates the container's first one or executes another, and it is adopted by its pid. Each step is a call that ends later.
#define _GNU_SOURCE
#include "process.h"
#include "ready.h"
#include "release.h"
#include "rootfs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXECS_MAX 4096u
#define FILE_MAX (TEXT_MAX + ID_MAX + 8u) /* path of a file in the bundle */

static const char *socket_of(struct process *process)
{
	return process->stdio.console == NULL ? NULL : console_socket(process->stdio.console);
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

static void create_done(struct call *call, bool ok)
{
	struct process *process = process_of_call(call);
	char reason[REASON_MAX];
	process->calling = false;
	stdio_passed_on(&process->stdio);
	if (!ok) {
		call_reason(call, reason);
		if (!rootfs_unmount()) say("the rootfs cannot be unmounted: %s", strerror(errno));
		refuse_and_free(process, "OCI runtime create failed", reason);
	} else {
		if (!process_adopt(process, "init.pid")) refuse_and_free(process, "failed to retrieve OCI runtime container pid", strerror(errno));
		else if (process->stdio.console != NULL && !console_take(process->stdio.console)) refuse_and_free(process, "failed to retrieve console master", "the runtime sent none");
		else {
			process->made = true;
			process_settle(process);
		}
	}
	strangers_drop();
}

void process_create(struct request *request, const struct message *create)
{
	char reason[REASON_MAX];
	if (process_first() != NULL) {
		request_refuse(request, ALREADY_EXISTS, "container %s: already exists", shim.id);
		return;
	}
	struct process *process = process_new("");
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
	const struct process *first = process_first();
	if (first == NULL || first->state != RUNNING || first->paused || first->deleting) {
		request_refuse(request, FAILED_PRECONDITION, "cannot exec in a %s container: failed precondition", first != NULL && first->paused ? "paused" : "not running");
		return;
	}
	if (process_execs() == EXECS_MAX) {
		request_refuse(request, RESOURCE_EXHAUSTED, "%u execs of this container are not deleted yet: no more are taken", EXECS_MAX);
		return;
	}
	struct process *process = process_new(exec_id);
	process->state = CREATED;
	process->terminal = message_number(exec, 3) != 0;
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

static void started(struct process *process)
{
	process->calling = false;
	process->made = true;
	oom_watch(process->pid);
	process_settle(process);
}

static void not_started(struct process *process, const char *what, const char *reason)
{
	struct request *request = process->request;
	process->calling = false;
	process->request = NULL;
	process->state = CREATED;
	request_refuse(request, UNKNOWN, "%s: %s", what, reason);
	process_settle(process);
}

static void start_done(struct call *call, bool ok)
{
	struct process *process = process_of_call(call);
	char reason[REASON_MAX];
	if (!ok) call_reason(call, reason);
	call_finish(call);
	if (ok) started(process);
	else not_started(process, "OCI runtime start failed", reason);
}

static void released(bool runs)
{
	struct process *process = process_first();
	if (runs) started(process);
	else if (!runtime_call(&process->call, (const char *[]){ "start", shim.id, NULL }, NULL, -1, start_done)) not_started(process, "the OCI runtime cannot be started", strerror(errno));
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
	process_never_ran(process);
	request_refuse(request, UNKNOWN, "%s: %s", what, reason);
}

static void exec_done(struct call *call, bool ok)
{
	struct process *process = process_of_call(call);
	char reason[REASON_MAX], pid_file[FILE_MAX], spec_file[FILE_MAX];
	process->calling = false;
	stdio_passed_on(&process->stdio);
	exec_files(process, pid_file, spec_file);
	unlink(spec_file);
	if (!ok) {
		call_reason(call, reason);
		exec_failed(process, "OCI runtime exec failed", reason);
	} else {
		if (!process_adopt(process, pid_file)) exec_failed(process, "failed to retrieve OCI runtime exec pid", "the runtime wrote none");
		else if (process->stdio.console != NULL && !console_take(process->stdio.console)) exec_failed(process, "failed to retrieve console master", "the runtime sent none");
		else {
			process->made = true;
			process_settle(process);
		}
	}
	unlink(pid_file);
	strangers_drop();
	if (process_first() == NULL && !process->deleting) process_free(process); /* its container was deleted meanwhile */
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
	process_settle(process);
}

static void start_exec(struct process *process)
{
	char reason[REASON_MAX];
	if (!stdio_open(&process->stdio, process->terminal, process->in, process->out, process->err, reason)) {
		exec_failed(process, "failed to open the streams of the exec", reason);
		return;
	}
	process->calling = true;
	stdio_begin(&process->stdio);
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
	if (!process_is_first(process)) {
		start_exec(process);
		return;
	}
	process->calling = true;
	stdio_begin(&process->stdio);
	if (!release_begin(released)) released(false);
}
