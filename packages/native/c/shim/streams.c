// FIFOs are handed to the process itself: nothing is copied here, the shim only holds their other ends so that clients can come and go.
#define _GNU_SOURCE
#include "streams.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITER_ARGUMENTS_MAX 64u
#define WRITER_DESCRIPTORS 4
#define WRITER_START_MS 12000 /* to say that it is ready; then it is taken to be */
#define WRITER_END_MS 8000    /* to write what it has after SIGTERM */
#define CONSOLE_END_MS 2000   /* for output of processes that outlive the one with the terminal */

static void shut(int *fd)
{
	if (*fd >= 0) close(*fd);
	*fd = -1;
}

void stdio_init(struct stdio *stdio, void (*changed)(struct stdio *))
{
	*stdio = (struct stdio){ .given = { -1, -1, -1 }, .input = -1, .readers = { -1, -1 }, .pipes = { -1, -1 }, .early = { { .fd = -1 }, { .fd = -1 } }, .begin = -1, .writer_ready.fd = -1, .ready = true, .changed = changed };
}

static bool refuse(char reason[REASON_MAX], const char *what)
{
	snprintf(reason, REASON_MAX, "%s: %s", what, strerror(errno));
	return false;
}

/* Opens one end of a FIFO although nobody may have the other: for a moment both are ours. `kept` gets the other end. */
static bool open_fifo(const char *path, int flags, int *kept, int *into, char reason[REASON_MAX])
{
	struct stat status;
	int both = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (both < 0) return refuse(reason, path);
	if (fstat(both, &status) != 0 || !S_ISFIFO(status.st_mode)) {
		close(both);
		snprintf(reason, REASON_MAX, "%s is not a FIFO", path);
		return false;
	}
	*into = open(path, flags | O_CLOEXEC);
	*kept = open(path, ((flags & O_ACCMODE) == O_RDONLY ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
	bool opened = *into >= 0 && *kept >= 0;
	if (!opened) refuse(reason, path);
	close(both);
	return opened;
}

static bool open_output(const char *path, int *kept, int *into, char reason[REASON_MAX])
{
	if (path[0] == '\0') return true;
	if (strncmp(path, "file://", 7) == 0) {
		*into = open(path + 7, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		return *into >= 0 || refuse(reason, path);
	}
	return open_fifo(path, O_WRONLY, kept, into, reason);
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9') return digit - '0';
	return (digit | 32) >= 'a' && (digit | 32) <= 'f' ? (digit | 32) - 'a' + 10 : -1;
}

static void unescape(char *text, bool query)
{
	char *into = text;
	for (; *text != '\0'; text++) {
		int high = *text == '%' ? hex_digit(text[1]) : -1, low = high < 0 ? -1 : hex_digit(text[2]);
		if (low >= 0) {
			*into++ = (char)(high << 4 | low);
			text += 2;
		} else *into++ = query && *text == '+' ? ' ' : *text;
	}
	*into = '\0';
}

/* In the child: stdout of the container is 3, stderr 4, and 5 is closed when it is ready. Before a byte comes from 6 nothing may be read of 3 and 4: they are ours (early). */
_Noreturn static void become_writer(char *uri, const int from[WRITER_DESCRIPTORS])
{
	char *arguments[WRITER_ARGUMENTS_MAX + 2], container[ID_MAX + 16], namespace[ID_MAX + 24];
	unsigned count = 0;
	char *query = strchr(uri, '?');
	int high[WRITER_DESCRIPTORS];
	if (query != NULL) *query++ = '\0';
	unescape(uri, false);
	arguments[count++] = uri;
	while (query != NULL && *query != '\0' && count < WRITER_ARGUMENTS_MAX) {
		char *pair = query, *next = strchr(query, '&'), *value;
		if (next != NULL) *next++ = '\0';
		value = strchr(pair, '=');
		if (value != NULL) *value++ = '\0';
		unescape(pair, true);
		if (value != NULL) unescape(value, true);
		arguments[count++] = pair;
		if (value != NULL) arguments[count++] = value;
		query = next;
	}
	arguments[count] = NULL;
	snprintf(container, sizeof container, "CONTAINER_ID=%s", shim.id);
	snprintf(namespace, sizeof namespace, "CONTAINER_NAMESPACE=%s", shim.namespace);
	for (int i = 0; i < WRITER_DESCRIPTORS; i++) high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 10);
	for (int i = 0; i < WRITER_DESCRIPTORS; i++) dup2(high[i], 3 + i);
	signals_reset();
	execve(uri, arguments, (char *[]){ container, namespace, "POUCH_LOG_BEGIN=6", NULL });
	_exit(127);
}

static void told_ready(struct stdio *stdio)
{
	loop_forget(&stdio->writer_ready);
	shut(&stdio->writer_ready.fd);
	timer_clear(&stdio->patience);
	stdio->ready = true;
	stdio->changed(stdio);
}

static struct stdio *of_watch(struct watch *watch)
{
	return (struct stdio *)((char *)watch - offsetof(struct stdio, writer_ready));
}

static struct stdio *of_timer(struct timer *timer)
{
	return (struct stdio *)((char *)timer - offsetof(struct stdio, patience));
}

static void writer_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	told_ready(of_watch(watch));
}

static void writer_slow(struct timer *timer)
{
	say("the log writer does not say that it is ready");
	told_ready(of_timer(timer));
}

static void writer_ended(struct child *child, int status)
{
	struct stdio *stdio = (struct stdio *)((char *)child - offsetof(struct stdio, writer));
	if (status != 0) say("the log writer ended with status %d", status);
	child->pid = 0;
	if (stdio->writer_ready.fd >= 0) told_ready(stdio);
	else stdio->changed(stdio);
}

static void early_forget(struct watch *watch)
{
	if (watch->fd < 0) return;
	loop_forget(watch);
	shut(&watch->fd);
}

/* The process cannot have written it, for it does not run: the runtime's init says there what went wrong when it is killed in the middle of a creation. */
static void throw_away(struct watch *watch, uint32_t events)
{
	char bytes[4096];
	int left = 0;
	if (ioctl(watch->fd, FIONREAD, &left) != 0) left = 0;
	if (left == 0 && (events & (EPOLLHUP | EPOLLERR)) != 0) early_forget(watch);
	while (left > 0) {
		ssize_t got = read(watch->fd, bytes, left < (int)sizeof bytes ? (size_t)left : sizeof bytes);
		if (got <= 0) return;
		left -= (int)got;
	}
}

void stdio_begin(struct stdio *stdio)
{
	for (int i = 0; i < 2; i++) {
		if (stdio->early[i].fd >= 0) throw_away(&stdio->early[i], 0);
		early_forget(&stdio->early[i]);
	}
	if (stdio->begin >= 0 && write(stdio->begin, "", 1) != 1) say("the log writer has ended before the process began");
	shut(&stdio->begin);
}

static bool start_writer(struct stdio *stdio, const char *uri, int outputs[2], char reason[REASON_MAX])
{
	char copy[TEXT_MAX];
	int out[2], err[2], ready[2], begin[2];
	snprintf(copy, sizeof copy, "%s", uri + strlen("binary://"));
	if (pipe2(out, O_CLOEXEC) != 0) return refuse(reason, "pipe");
	if (pipe2(err, O_CLOEXEC) != 0) {
		close(out[0]);
		close(out[1]);
		return refuse(reason, "pipe");
	}
	outputs[0] = out[1];
	outputs[1] = err[1];
	stdio->early[0] = (struct watch){ out[0], throw_away };
	stdio->early[1] = (struct watch){ err[0], throw_away };
	if (pipe2(ready, O_CLOEXEC | O_NONBLOCK) != 0) return refuse(reason, "pipe");
	if (pipe2(begin, O_CLOEXEC) != 0) {
		close(ready[0]);
		close(ready[1]);
		return refuse(reason, "pipe");
	}
	stdio->begin = begin[1];
	pid_t pid = fork();
	if (pid == 0) become_writer(copy, (const int[]){ out[0], err[0], ready[1], begin[0] });
	if (pid < 0) refuse(reason, "the log writer cannot be started");
	close(ready[1]);
	close(begin[0]);
	if (pid < 0) {
		close(ready[0]);
		return false;
	}
	stdio->writer.ended = writer_ended;
	child_watch(&stdio->writer, pid);
	stdio->writer_ready = (struct watch){ ready[0], writer_ready };
	stdio->ready = false;
	stdio->patience.fire = writer_slow;
	timer_set(&stdio->patience, WRITER_START_MS);
	bool watched = loop_watch(&stdio->writer_ready, EPOLLIN);
	for (int i = 0; i < 2; i++) watched = watched && loop_watch(&stdio->early[i], EPOLLIN);
	return watched || refuse(reason, "epoll");
}

static void console_changed(void *whom)
{
	struct stdio *stdio = whom;
	stdio->changed(stdio);
}

bool stdio_open(struct stdio *stdio, bool terminal, const char *in, const char *out, const char *err, char reason[REASON_MAX])
{
	int input = -1, outputs[2] = { -1, -1 };
	bool opened = in[0] == '\0' || open_fifo(in, O_RDONLY | (terminal ? O_NONBLOCK : 0), &stdio->input, &input, reason);
	if (opened && strncmp(out, "binary://", 9) == 0) {
		opened = start_writer(stdio, out, outputs, reason);
		if (opened && !terminal) for (int i = 0; i < 2; i++) stdio->pipes[i] = fcntl(outputs[i], F_DUPFD_CLOEXEC, 3);
	} else if (opened) {
		opened = open_output(out, &stdio->readers[0], &outputs[0], reason) && (terminal || open_output(err, &stdio->readers[1], &outputs[1], reason));
	}
	if (opened && terminal) {
		shut(&outputs[1]);
		stdio->console = console_new(input, outputs[0], console_changed, stdio);
		if (console_socket(stdio->console) == NULL) return refuse(reason, "the socket for the terminal cannot be made");
		return true;
	}
	stdio->given[0] = input;
	stdio->given[1] = outputs[0];
	stdio->given[2] = outputs[1];
	return opened;
}

void stdio_passed_on(struct stdio *stdio)
{
	for (int i = 0; i < 3; i++) shut(&stdio->given[i]);
}

void stdio_close_input(struct stdio *stdio)
{
	shut(&stdio->input);
}

void stdio_process_ended(struct stdio *stdio)
{
	shut(&stdio->input);
	for (int i = 0; i < 2; i++) {
		shut(&stdio->pipes[i]);
		early_forget(&stdio->early[i]);
	}
	shut(&stdio->begin); /* without a byte: it never began */
}

static void out_of_patience(struct timer *timer)
{
	struct stdio *stdio = of_timer(timer);
	if (stdio->writer.pid > 0) {
		say("the log writer does not end");
		kill(stdio->writer.pid, SIGKILL);
	}
	if (stdio->console != NULL) {
		console_free(stdio->console);
		stdio->console = NULL;
	}
	stdio->changed(stdio);
}

void stdio_finish(struct stdio *stdio)
{
	stdio_process_ended(stdio);
	if (stdio->writer.pid > 0 && (stdio->console == NULL || console_is_over(stdio->console))) kill(stdio->writer.pid, SIGTERM);
	if (stdio_is_over(stdio)) return;
	stdio->patience.fire = out_of_patience;
	timer_set(&stdio->patience, stdio->console != NULL && !console_is_over(stdio->console) ? CONSOLE_END_MS : WRITER_END_MS);
}

bool stdio_is_over(const struct stdio *stdio)
{
	return stdio->writer.pid == 0 && (stdio->console == NULL || console_is_over(stdio->console));
}

void stdio_close(struct stdio *stdio)
{
	stdio_passed_on(stdio);
	stdio_process_ended(stdio);
	for (int i = 0; i < 2; i++) shut(&stdio->readers[i]);
	if (stdio->console != NULL) console_free(stdio->console);
	stdio->console = NULL;
	if (stdio->writer_ready.fd >= 0) loop_forget(&stdio->writer_ready);
	shut(&stdio->writer_ready.fd);
	timer_clear(&stdio->patience);
	if (stdio->writer.pid > 0) {
		child_forget(&stdio->writer);
		kill(stdio->writer.pid, SIGTERM);
		stdio->writer.pid = 0;
	}
}
