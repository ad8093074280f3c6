// A terminal: its master, and copying in both directions with one bounded buffer each. Whoever does not read stops the copying, nothing else.
#define _GNU_SOURCE
#include "streams.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LATE_MASTER_MS 2000 /* after the runtime said that all is well */

struct buffer {
	char bytes[16384];
	size_t from, to;
};

struct console {
	struct sockaddr_un address;
	int listener;
	struct watch master, in, out; /* fd -1: ended */
	uint32_t master_events;
	bool out_full, in_waits;
	struct buffer to_client, to_process;
	void (*changed)(void *whom);
	void *whom;
};

static void close_watch(struct watch *watch)
{
	if (watch->fd < 0) return;
	loop_forget(watch);
	close(watch->fd);
	watch->fd = -1;
}

static void look_for(struct console *console)
{
	if (console->master.fd < 0) return;
	bool waits = console->to_client.from < console->to_client.to, has = console->to_process.from < console->to_process.to;
	uint32_t events = (uint32_t)((waits ? 0 : EPOLLIN) | (has ? EPOLLOUT : 0));
	/* A hang-up is told whether it is asked for or not: while the client does not read, the master is not looked at. */
	if (waits && !has) {
		if (console->master_events != 0) loop_forget(&console->master);
		console->master_events = 0;
	} else if (console->master_events == 0) {
		console->master_events = events;
		loop_watch(&console->master, events);
	} else if (events != console->master_events) {
		console->master_events = events;
		loop_change(&console->master, events);
	}
}

/* False: nobody can be written to any more. */
static bool empty(struct buffer *buffer, int fd)
{
	while (buffer->from < buffer->to) {
		ssize_t done = fd < 0 ? -1 : write(fd, buffer->bytes + buffer->from, buffer->to - buffer->from);
		if (done < 0 && fd >= 0 && errno == EINTR) continue;
		if (done < 0 && fd >= 0 && errno == EAGAIN) return true;
		if (done < 0) {
			buffer->from = buffer->to = 0;
			return false;
		}
		buffer->from += (size_t)done;
	}
	buffer->from = buffer->to = 0;
	return true;
}

static void write_client(struct console *console)
{
	empty(&console->to_client, console->out.fd);
	bool full = console->to_client.from < console->to_client.to;
	if (full != console->out_full) loop_change(&console->out, full ? EPOLLOUT : 0);
	console->out_full = full;
}

static void over(struct console *console)
{
	close_watch(&console->master);
	close_watch(&console->in);
	if (console->to_client.from == console->to_client.to) close_watch(&console->out);
	console->changed(console->whom);
}

static void master_ready(struct watch *watch, uint32_t events)
{
	struct console *console = (struct console *)((char *)watch - offsetof(struct console, master));
	if ((events & EPOLLOUT) != 0) {
		empty(&console->to_process, watch->fd);
		if (console->to_process.to == 0 && console->in_waits) {
			console->in_waits = false;
			loop_watch(&console->in, EPOLLIN);
		}
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && console->to_client.from == console->to_client.to) {
		ssize_t got = read(watch->fd, console->to_client.bytes, sizeof console->to_client.bytes);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
			over(console);
			return;
		}
		if (got > 0) {
			console->to_client.to = (size_t)got;
			write_client(console);
		}
	}
	look_for(console);
}

static void in_ready(struct watch *watch, uint32_t events)
{
	struct console *console = (struct console *)((char *)watch - offsetof(struct console, in));
	(void)events;
	ssize_t got = read(watch->fd, console->to_process.bytes, sizeof console->to_process.bytes);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (got <= 0) {
		close_watch(watch);
		return;
	}
	console->to_process.to = (size_t)got;
	empty(&console->to_process, console->master.fd);
	if (console->to_process.from < console->to_process.to) { /* not looked at meanwhile: its hang-up would be told without end */
		loop_forget(watch);
		console->in_waits = true;
	}
	look_for(console);
}

static void out_ready(struct watch *watch, uint32_t events)
{
	struct console *console = (struct console *)((char *)watch - offsetof(struct console, out));
	if ((events & EPOLLERR) != 0) { /* nobody reads it any more: what comes is thrown away, the process goes on */
		close_watch(watch);
		console->out_full = false;
	}
	if (console->out.fd >= 0) write_client(console);
	else empty(&console->to_client, -1);
	if (console->master.fd < 0 && console->to_client.to == 0) over(console);
	else look_for(console);
}

static bool listen_at(struct console *console)
{
	unsigned char random[8];
	char name[17];
	const char *slash = strrchr(shim.socket, '/');
	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) return false;
	for (unsigned i = 0; i < sizeof random; i++) snprintf(name + 2 * i, 3, "%02x", random[i]);
	console->address.sun_family = AF_UNIX;
	snprintf(console->address.sun_path, sizeof console->address.sun_path, "%.*s/%s.pty", (int)(slash - shim.socket), shim.socket, name);
	console->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (console->listener < 0) return false;
	mode_t mask = umask(0177);
	bool bound = bind(console->listener, (struct sockaddr *)&console->address, sizeof console->address) == 0;
	umask(mask);
	return bound && listen(console->listener, 1) == 0;
}

struct console *console_new(int in, int out, void (*changed)(void *), void *whom)
{
	struct console *console = calloc(1, sizeof *console);
	if (console == NULL) give_up("no memory");
	console->master = (struct watch){ -1, master_ready };
	console->in = (struct watch){ in, in_ready };
	console->out = (struct watch){ out, out_ready };
	console->changed = changed;
	console->whom = whom;
	if (!listen_at(console)) {
		if (console->listener >= 0) close(console->listener);
		console->listener = -1;
	}
	if (out >= 0) fcntl(out, F_SETFL, fcntl(out, F_GETFL) | O_NONBLOCK);
	return console;
}

const char *console_socket(struct console *console)
{
	return console->listener < 0 ? NULL : console->address.sun_path;
}

static int receive_master(int from)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr aligned; } control;
	char name[128];
	struct iovec part = { name, sizeof name };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct pollfd polled = { from, POLLIN, 0 };
	int master = -1;
	if (poll(&polled, 1, LATE_MASTER_MS) != 1 || recvmsg(from, &message, MSG_CMSG_CLOEXEC) <= 0) return -1;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof master)) memcpy(&master, CMSG_DATA(header), sizeof master);
	return master;
}

bool console_take(struct console *console)
{
	struct pollfd polled = { console->listener, POLLIN, 0 };
	int from = poll(&polled, 1, LATE_MASTER_MS) == 1 ? accept4(console->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
	int master = from < 0 ? -1 : receive_master(from);
	if (from >= 0) close(from);
	close(console->listener);
	console->listener = -1;
	unlink(console->address.sun_path);
	if (master < 0) return false;
	fcntl(master, F_SETFL, fcntl(master, F_GETFL) | O_NONBLOCK);
	console->master.fd = master;
	console->master_events = EPOLLIN;
	loop_watch(&console->master, EPOLLIN);
	if (console->in.fd >= 0) loop_watch(&console->in, EPOLLIN);
	if (console->out.fd >= 0) loop_watch(&console->out, 0);
	return true;
}

void console_resize(struct console *console, unsigned columns, unsigned rows)
{
	struct winsize size = { .ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows };
	if (console->master.fd >= 0) ioctl(console->master.fd, TIOCSWINSZ, &size);
}

bool console_is_over(const struct console *console)
{
	return console->master.fd < 0 && console->listener < 0 && console->to_client.from == console->to_client.to;
}

void console_free(struct console *console)
{
	if (console->listener >= 0) {
		close(console->listener);
		unlink(console->address.sun_path);
	}
	close_watch(&console->master);
	close_watch(&console->in);
	close_watch(&console->out);
	free(console);
}
