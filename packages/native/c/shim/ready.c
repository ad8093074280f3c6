// When there is a ready exec, for which execs it serves, and how it is handed over. At most one per container, for seconds, and only where it takes
// nothing from the container: none where processes are limited or memory is short, where a terminal is wanted, or where users are mapped.
#define _GNU_SOURCE
#include "ready.h"
#include "json.h"
#include "rootfs.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LATELY_MS 10000   /* two execs within this time: a third one is likely */
#define IDLE_MS 10000     /* a ready one that nobody wanted ends */
#define SETTLE_MS 10      /* after an exec's start, so that it is not held up */
#define FAILURES_MAX 3u   /* then this container gets none any more */
#define ROOM_BYTES (64ull << 20) /* of memory below the limit, for what the runtime needs for a moment */
#define SPEC_FILE "ready-exec.json"
#define PID_FILE "ready-exec.pid"
#define PROGRAM_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static struct {
	enum { NONE, MAKING, WAITING, HANDED, ENDING } state;
	struct call call;
	struct child child;
	struct watch socket;
	struct timer timer; /* NONE: to make one; WAITING: to end it */
	pid_t pid;
	bool goes, ended;
	int status;
	char *shape;
	struct process *process; /* MAKING: waits for it; HANDED: it is this one */
	void (*told)(struct process *, bool);
	void (*dropped)(void *);
	void *whom;
} ready = { .socket.fd = -1 };

static unsigned failures;
static int64_t last_exec_ms;
static char *wanted; /* the shape of the last exec */

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool own_word(struct json name)
{
	return json_is(name, "args") || json_is(name, "env") || json_is(name, "cwd");
}

/* A process without what it executes, as a JSON object that is still open: execs of one shape differ in nothing that only the runtime can give. NULL: none. */
static char *shape_of(const struct process *process)
{
	struct json whole = json_of(process->spec, process->spec_length), at = { NULL, NULL }, name;
	struct out text = { 0 };
	if (process->terminal || whole.at == NULL) return NULL;
	out_raw(&text, "{", 1);
	while (json_next(whole, &at, &name)) {
		if (own_word(name)) continue;
		out_raw(&text, name.at, (size_t)(name.end - name.at));
		out_raw(&text, ":", 1);
		out_raw(&text, at.at, (size_t)(at.end - at.at));
		out_raw(&text, ",", 1);
	}
	out_raw(&text, "", 1);
	if (!text.failed) return (char *)text.at;
	out_free(&text);
	return NULL;
}

static bool user_namespace(void)
{
	char *text = runtime_read_file("config.json", &(size_t){ 0 });
	bool found = false;
	struct json at = { NULL, NULL }, namespaces = json_member(json_member(json_of(text, text == NULL ? 0 : strlen(text)), "linux"), "namespaces");
	while (json_next(namespaces, &at, NULL)) found |= json_is(json_member(at, "type"), "user");
	free(text);
	return found;
}

/* The shim's own program, which the container cannot change. */
static int sealed_program(void)
{
	struct stat status;
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int program = memfd_create("exec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bool copied = from >= 0 && program >= 0 && fstat(from, &status) == 0 && sendfile(program, from, NULL, (size_t)status.st_size) == status.st_size && fcntl(program, F_ADD_SEALS, PROGRAM_SEALS) == 0;
	if (from >= 0) close(from);
	if (copied) return program;
	if (program >= 0) close(program);
	return -1;
}

static void none(void)
{
	if (ready.socket.fd >= 0) {
		loop_forget(&ready.socket);
		close(ready.socket.fd);
	}
	ready.socket.fd = -1;
	timer_clear(&ready.timer);
	free(ready.shape);
	ready.shape = NULL;
	ready.pid = 0;
	ready.state = NONE;
	void (*dropped)(void *) = ready.dropped;
	ready.dropped = NULL;
	if (dropped != NULL) dropped(ready.whom);
}

static void usual_way(void)
{
	struct process *process = ready.process;
	ready.process = NULL;
	if (process != NULL) ready.told(process, false);
}

static void child_ended(struct child *child, int status)
{
	(void)child;
	ready.ended = true;
	ready.status = status;
	if (ready.state == HANDED) return; /* the socket tells whether it was the process that ended */
	if (ready.state == WAITING) failures++;
	none();
}

static void over(struct timer *timer)
{
	(void)timer;
	ready_drop(NULL, NULL);
}

static bool write_order(struct process *process);

static void make_done(struct call *call, bool ok)
{
	(void)call;
	unlink(SPEC_FILE);
	bool adopted = ok && runtime_read_pid(PID_FILE, &ready.pid);
	unlink(PID_FILE);
	if (!adopted) {
		failures++;
		none();
		usual_way();
	} else {
		bool unwanted = ready.state == ENDING;
		ready.ended = false;
		ready.child.ended = child_ended;
		if (!unwanted) ready.state = WAITING;
		child_adopt(&ready.child, ready.pid);
		if (ready.state == NONE) usual_way(); /* it has ended already */
		else if (unwanted) kill(ready.pid, SIGKILL);
		else if (!loop_watch(&ready.socket, EPOLLIN)) give_up("a socket cannot be watched");
		else if (ready.process != NULL) {
			if (!write_order(ready.process)) usual_way();
		} else {
			ready.timer.fire = over;
			timer_set(&ready.timer, IDLE_MS);
		}
	}
	strangers_drop();
}

static void hear(struct watch *watch, uint32_t events)
{
	char word;
	ssize_t got = recv(watch->fd, &word, 1, MSG_DONTWAIT);
	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (got == 1 && word == ORDER_GOES) {
		ready.goes = true;
		return;
	}
	if (ready.state != HANDED) { /* nobody asked: whatever speaks there is not what was put there */
		failures++;
		ready_drop(NULL, NULL);
		return;
	}
	struct process *process = ready.process;
	bool runs = got == 0 && ready.goes, ended = ready.ended;
	int status = ready.status;
	ready.process = NULL;
	if (runs) {
		process->pid = ready.pid;
		child_forget(&ready.child);
		none();
		if (ended) {
			process->child.pid = process->pid;
			process->child.ended(&process->child, status);
		} else child_watch(&process->child, process->pid);
	} else if (ended) none();
	else {
		ready.state = WAITING;
		ready_drop(NULL, NULL);
	}
	ready.told(process, runs);
}

static void make(struct timer *timer)
{
	int ends[2] = { -1, -1 };
	(void)timer;
	struct process *first = process_find("");
	if (wanted == NULL || first == NULL || first->state != RUNNING || first->paused || first->deleting || failures >= FAILURES_MAX) return;
	if (!cgroup_has_room(first->pid, ROOM_BYTES) || user_namespace()) return;
	bool outside = runtime_is("runv"); /* it takes the order itself, for a process of its machine */
	int program = outside ? -1 : sealed_program();
	bool paired = (outside || program >= 0) && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0;
	int spec = open(SPEC_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool written = paired && spec >= 0 && dprintf(spec, "%s\"args\":[\"/proc/self/fd/%d\",\"" STARTER_VERB "\"],\"env\":[],\"cwd\":\"/\"}", wanted, STARTER_PROGRAM) > 0;
	if (spec >= 0) close(spec);
	if (written) {
		fcntl(ends[1], F_SETFL, 0); /* the starter waits */
		ready.shape = strdup(wanted);
		ready.goes = false;
		ready.socket = (struct watch){ ends[0], hear };
		strangers_keep();
		char spec_path[TEXT_MAX + sizeof SPEC_FILE + 1], pid_path[TEXT_MAX + sizeof PID_FILE + 1];
		snprintf(spec_path, sizeof spec_path, "%s/" SPEC_FILE, shim.bundle);
		snprintf(pid_path, sizeof pid_path, "%s/" PID_FILE, shim.bundle);
		const char *arguments[] = { "exec", "--process", spec_path, "--detach", "--pid-file", pid_path, outside ? "--order-fd" : "--preserve-fds", outside ? "4" : "2", shim.id, NULL };
		if (ready.shape != NULL && runtime_call_with(&ready.call, arguments, (const int[]){ -1, -1, -1, program, ends[1] }, make_done)) {
			ready.state = MAKING;
		} else {
			strangers_drop();
			none();
			failures++;
		}
	} else if (ends[0] >= 0) close(ends[0]);
	if (ends[1] >= 0) close(ends[1]);
	if (program >= 0) close(program);
}

void ready_note(const struct process *process)
{
	int64_t now = now_ms();
	bool lately = last_exec_ms != 0 && now - last_exec_ms < LATELY_MS;
	last_exec_ms = now;
	free(wanted);
	wanted = shape_of(process);
	if (!lately || wanted == NULL || (!runtime_is("runc") && !runtime_is("runv"))) return;
	if (ready.state == WAITING && strcmp(ready.shape, wanted) != 0) ready_drop(NULL, NULL);
	if (ready.state != NONE || ready.timer.set) return;
	ready.timer.fire = make;
	timer_set(&ready.timer, SETTLE_MS);
}

/* Appends the strings of a JSON array, each with its NUL. */
static bool append_strings(struct json list, char *text, size_t *used, uint32_t *count)
{
	struct json at = { NULL, NULL };
	size_t length;
	while (json_next(list, &at, NULL)) {
		if (!json_string(at, text + *used, ORDER_TEXT_MAX - 1 - *used, &length)) return false;
		*used += length + 1;
		++*count;
	}
	return true;
}

static bool write_order(struct process *process)
{
	static char text[ORDER_TEXT_MAX];
	struct order order = { 0 };
	struct json spec = json_of(process->spec, process->spec_length);
	union { char room[CMSG_SPACE(sizeof(int[3]))]; struct cmsghdr aligned; } control = { { 0 } };
	size_t used = 0;
	if (!json_string(json_member(spec, "cwd"), text, sizeof text - 1, &used)) return false;
	used++;
	if (!append_strings(json_member(spec, "args"), text, &used, &order.arguments) || !append_strings(json_member(spec, "env"), text, &used, &order.variables) || order.arguments == 0) return false;
	order.length = (uint32_t)used;
	int streams[3], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct json user = json_member(json_member(spec, "user"), "uid");
	uid_t uid = user.at == NULL ? 0 : (uid_t)strtoul(user.at, NULL, 10);
	for (int i = 0; i < 3; i++) {
		streams[i] = process->stdio.given[i] >= 0 ? process->stdio.given[i] : null;
		/* As runc does it: a process can open its own streams anew. */
		if (streams[i] != null && !runtime_is("runv") && fchown(streams[i], uid, (gid_t)-1) != 0 && errno != EINVAL && errno != EPERM) say("a stream cannot be given to its user: %s", strerror(errno));
	}
	struct iovec parts[2] = { { &order, sizeof order }, { text, used } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof streams);
	memcpy(CMSG_DATA(header), streams, sizeof streams);
	bool sent = sendmsg(ready.socket.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(sizeof order + used);
	if (null >= 0) close(null);
	if (!sent) return false;
	timer_clear(&ready.timer);
	ready.state = HANDED;
	ready.process = process;
	return true;
}

bool ready_take(struct process *process, void (*told)(struct process *, bool))
{
	if ((ready.state != WAITING && ready.state != MAKING) || ready.process != NULL) return false;
	char *shape = shape_of(process);
	bool fits = shape != NULL && strcmp(shape, ready.shape) == 0;
	free(shape);
	if (!fits) return false;
	ready.told = told;
	if (ready.state == WAITING) return write_order(process);
	ready.process = process; /* sooner there than another one would be made */
	return true;
}

void ready_drop(void (*then)(void *), void *whom)
{
	timer_clear(&ready.timer);
	if (ready.state == NONE || ready.state == HANDED || ready.dropped != NULL) {
		if (then != NULL) then(whom);
		return;
	}
	if (then != NULL) {
		ready.dropped = then;
		ready.whom = whom;
	}
	if (ready.state == WAITING) {
		loop_forget(&ready.socket);
		kill(ready.pid, SIGKILL);
	}
	ready.state = ENDING; /* one that is being made is ended as soon as it has been */
	usual_way();
}

bool ready_hides(pid_t pid)
{
	char path[64], name[32] = "";
	if (ready.state == NONE || runtime_is("runv")) return false; /* whose list is the guest's, without the ready one */
	if (pid == ready.pid && ready.state != HANDED) return true;
	if (ready.state != MAKING && ready.state != ENDING) return false;
	snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return false;
	ssize_t got = read(fd, name, sizeof name - 1);
	close(fd);
	return got > 0 && strncmp(name, "runc:[", 6) == 0; /* the runtime, on its way to become it */
}
