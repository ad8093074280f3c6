// The OCI runtime is a program: runc, crun, runv or any other, called as containerd's own shim calls it.
#define _GNU_SOURCE
#include "runtime.h"
#include "json.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 32u
#define OUTPUT_MAX (4u << 20)
#define LOG_TAIL (256u << 10)
#define MEMORY "runtime" /* file in the bundle: binary, root, flags, a line each */

enum { OPTION_NO_PIVOT = 1, OPTION_NO_KEYRING = 2, OPTION_SHIM_CGROUP = 3, OPTION_BINARY = 6, OPTION_ROOT = 7, OPTION_SYSTEMD = 9 };

static struct { char binary[TEXT_MAX], root[TEXT_MAX]; bool systemd, no_pivot, no_keyring; } runtime;

static pid_t caller; /* the shim, or `delete` */

static bool lines_ok(const char *text)
{
	return strchr(text, '\n') == NULL;
}

bool runtime_configure(const struct message *create, char reason[REASON_MAX])
{
	struct message any, options;
	char type[256], cgroup[TEXT_MAX], root[TEXT_MAX], binary[TEXT_MAX];
	static const char known[] = "containerd.runc.v1.Options";
	if (!message_inner(create, 10, &any) || !message_text(&any, 1, type, sizeof type) || !message_inner(&any, 2, &options)) {
		snprintf(reason, REASON_MAX, "malformed options");
		return false;
	}
	size_t length = strlen(type);
	if (length > 0 && (length < sizeof known - 1 || strcmp(type + length - (sizeof known - 1), known) != 0)) {
		snprintf(reason, REASON_MAX, "options of a kind that this shim does not know: %s; it takes %s", type, known);
		return false;
	}
	if (!message_text(&options, OPTION_BINARY, binary, sizeof binary) || !message_text(&options, OPTION_ROOT, root, sizeof root) ||
	    !message_text(&options, OPTION_SHIM_CGROUP, cgroup, sizeof cgroup) || !lines_ok(binary) || !lines_ok(root)) {
		snprintf(reason, REASON_MAX, "malformed options");
		return false;
	}
	if (cgroup[0] != '\0') {
		snprintf(reason, REASON_MAX, "this shim has no control group of its own (shim_cgroup)");
		return false;
	}
	snprintf(runtime.binary, sizeof runtime.binary, "%s", binary[0] == '\0' ? "runc" : binary);
	int needed = snprintf(runtime.root, sizeof runtime.root, "%s/%s", root[0] == '\0' ? "/run/containerd/runc" : root, shim.namespace);
	runtime.no_pivot = message_number(&options, OPTION_NO_PIVOT) != 0;
	runtime.no_keyring = message_number(&options, OPTION_NO_KEYRING) != 0;
	runtime.systemd = message_number(&options, OPTION_SYSTEMD) != 0;
	FILE *file = needed < 0 || (size_t)needed >= sizeof runtime.root ? NULL : fopen(MEMORY, "we");
	if (file == NULL || fprintf(file, "%s\n%s\n%d\n", runtime.binary, runtime.root, runtime.systemd) < 0 || fclose(file) != 0) {
		snprintf(reason, REASON_MAX, "the runtime's settings cannot be kept in the bundle: %s", strerror(errno));
		return false;
	}
	return true;
}

bool runtime_recall(void)
{
	FILE *file = fopen(MEMORY, "re");
	char systemd[8];
	if (file == NULL) return false;
	bool whole = fgets(runtime.binary, sizeof runtime.binary, file) != NULL && fgets(runtime.root, sizeof runtime.root, file) != NULL && fgets(systemd, sizeof systemd, file) != NULL;
	fclose(file);
	if (!whole) return false;
	runtime.binary[strcspn(runtime.binary, "\n")] = '\0';
	runtime.root[strcspn(runtime.root, "\n")] = '\0';
	runtime.systemd = systemd[0] == '1';
	return true;
}

void runtime_forget(void)
{
	unlink(MEMORY);
}

bool runtime_state_file(const char *name, char path[2 * TEXT_MAX])
{
	int needed = snprintf(path, 2 * TEXT_MAX, "%s/%s/%s", runtime.root, shim.id, name);
	return needed > 0 && (size_t)needed < 2 * TEXT_MAX;
}

bool runtime_has_state(void)
{
	char path[2 * TEXT_MAX];
	struct stat status;
	return runtime_state_file("", path) && lstat(path, &status) == 0;
}

bool runtime_is(const char *name)
{
	const char *slash = strrchr(runtime.binary, '/');
	return strcmp(slash == NULL ? runtime.binary : slash + 1, name) == 0;
}

/* In the child. The caller's descriptors are all close-on-exec. */
_Noreturn static void become(const char *const arguments[], const int descriptors[5])
{
	const char *all[ARGUMENTS_MAX];
	char log[TEXT_MAX + 16];
	unsigned count = 0;
	/* What it makes without a shim nobody would know of. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != caller) _exit(1);
	snprintf(log, sizeof log, "%s/log.json", shim.bundle);
	all[count++] = runtime.binary;
	for (const char **at = (const char *[]){ "--root", runtime.root, "--log", log, "--log-format", "json", NULL }; *at != NULL; at++) all[count++] = *at;
	if (runtime.systemd) all[count++] = "--systemd-cgroup";
	for (unsigned i = 0; arguments[i] != NULL && count < ARGUMENTS_MAX - 3; i++) {
		all[count++] = arguments[i];
		if (i > 0 || strcmp(arguments[0], "create") != 0) continue;
		if (runtime.no_pivot) all[count++] = "--no-pivot";
		if (runtime.no_keyring) all[count++] = "--no-new-keyring";
	}
	all[count] = NULL;
	int high[5];
	for (int i = 0; i < 5; i++) high[i] = descriptors[i] >= 0 ? fcntl(descriptors[i], F_DUPFD_CLOEXEC, 10) : i < 3 ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
	for (int i = 0; i < 5; i++)
		if (high[i] >= 0) dup2(high[i], i);
	signals_reset();
	execvp(runtime.binary, (char *const *)all);
	dprintf(2, "%s: %s", runtime.binary, strerror(errno));
	_exit(127);
}

static pid_t begin(const char *const arguments[], const int descriptors[5])
{
	caller = getpid();
	pid_t pid = fork();
	if (pid == 0) become(arguments, descriptors);
	return pid;
}

static void ended(struct child *child, int status)
{
	struct call *call = (struct call *)child;
	call->status = status;
	call->done(call, WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool call_begin(struct call *call, const char *const arguments[], const int descriptors[5], void (*done)(struct call *, bool))
{
	struct stat log;
	call->log_from = stat("log.json", &log) == 0 ? log.st_size : 0;
	call->done = done;
	call->child.ended = ended;
	pid_t pid = begin(arguments, descriptors);
	if (pid < 0) {
		call_finish(call);
		return false;
	}
	child_watch(&call->child, pid);
	return true;
}

bool runtime_call(struct call *call, const char *const arguments[], const int stdio[3], int input, void (*done)(struct call *, bool))
{
	call->output = stdio != NULL ? -1 : memfd_create("output", MFD_CLOEXEC);
	if (stdio == NULL) return call_begin(call, arguments, (const int[]){ input, call->output, call->output, -1, -1 }, done);
	return call_begin(call, arguments, (const int[]){ stdio[0], stdio[1], stdio[2], -1, -1 }, done);
}

bool runtime_call_with(struct call *call, const char *const arguments[], const int descriptors[5], void (*done)(struct call *, bool))
{
	call->output = -1;
	return call_begin(call, arguments, descriptors, done);
}

static char *read_from(int fd, off_t from, size_t limit, size_t *length)
{
	struct stat status;
	if (fd < 0 || fstat(fd, &status) != 0 || status.st_size <= from) return NULL;
	if ((size_t)(status.st_size - from) > limit) from = status.st_size - (off_t)limit;
	size_t size = (size_t)(status.st_size - from);
	char *text = malloc(size + 1);
	if (text == NULL) return NULL;
	ssize_t got = pread(fd, text, size, from);
	if (got < 0) got = 0;
	text[got] = '\0';
	*length = (size_t)got;
	return text;
}

char *call_output(const struct call *call, size_t *length)
{
	return read_from(call->output, 0, OUTPUT_MAX, length);
}

char *runtime_read_file(const char *file, size_t *length)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	char *text = read_from(fd, 0, OUTPUT_MAX, length);
	if (fd >= 0) close(fd);
	return text;
}

/* The last line of level "error" that was added to the log since `from`. */
static bool last_error(off_t from, char into[REASON_MAX])
{
	int fd = open("log.json", O_RDONLY | O_CLOEXEC);
	size_t length = 0, decoded;
	char *text = read_from(fd, from, LOG_TAIL, &length);
	bool found = false;
	if (fd >= 0) close(fd);
	if (text == NULL) return false;
	for (char *line = text; line < text + length;) {
		char *end = memchr(line, '\n', length - (size_t)(line - text));
		if (end == NULL) end = text + length;
		struct json entry = json_of(line, (size_t)(end - line));
		char message[REASON_MAX];
		if (json_is(json_member(entry, "level"), "error") && json_string(json_member(entry, "msg"), message, sizeof message, &decoded)) {
			memcpy(into, message, decoded + 1);
			found = true;
		}
		line = end + 1;
	}
	free(text);
	return found;
}

void call_reason(const struct call *call, char into[REASON_MAX])
{
	size_t length = 0;
	if (last_error(call->log_from, into)) return;
	char *output = call_output(call, &length);
	while (length > 0 && (output[length - 1] == '\n' || output[length - 1] == ' ')) output[--length] = '\0';
	if (output != NULL && length > 0) snprintf(into, REASON_MAX, "%s", output);
	else if (WIFSIGNALED(call->status)) snprintf(into, REASON_MAX, "%.1024s was ended by signal %d", runtime.binary, WTERMSIG(call->status));
	else if (WEXITSTATUS(call->status) == 127) snprintf(into, REASON_MAX, "%.1024s cannot be executed", runtime.binary);
	else snprintf(into, REASON_MAX, "%.1024s ended with %d and said nothing", runtime.binary, WEXITSTATUS(call->status));
	free(output);
}

void call_finish(struct call *call)
{
	if (call->output >= 0) close(call->output);
	call->output = -1;
}

bool runtime_run(const char *const arguments[])
{
	int status;
	pid_t pid = begin(arguments, (const int[]){ -1, -1, -1, -1, -1 });
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool runtime_read_pid(const char *file, pid_t *pid)
{
	char text[32] = "";
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return false;
	ssize_t got = read(fd, text, sizeof text - 1);
	close(fd);
	char *end;
	long value = strtol(text, &end, 10);
	if (got <= 0 || end == text || value <= 0 || value > INT_MAX) return false;
	*pid = (pid_t)value;
	return true;
}
