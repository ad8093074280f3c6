// The process role: the host's process for one exec'd process of the guest. It speaks to the machine's monitor, never to the guest.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>
#include "monitor.h"

#define OUT_MAX (2u << 20)
#define DRAIN_MS 2000
#define BLOCKED_MS 10000
#define FAILED 255

struct exec {
	struct config config;
	struct link link;
	struct stdio io;
	int signal_fd;
	int exit_code; // -1: it has not ended
	int order_fd;  // -1: none, or answered
	bool awaiting; // the guest's process is there and is told by the order what to become
	int64_t deadline, idle_since;
};

static uint32_t payload_max(uint8_t op)
{
	return guest_payload_max(op);
}

static int give_up(struct exec *e, const char *text)
{
	order_answer(&e->order_fd, false);
	if (e->config.ready_fd >= 0) ready_tell(&e->config.ready_fd, "error", text);
	// Whoever ordered hears that it failed, and has the exec made anew: that one tells why.
	else if (!e->io.started && e->config.order_fd < 0) starter_tell(&e->config, text);
	return FAILED;
}

static int tell_starter(struct exec *e)
{
	char text[REASON_MAX];
	if (e->config.pid_file != NULL && pid_file_write(e->config.pid_file, getpid()) < 0) {
		snprintf(text, sizeof text, "%s: %s", e->config.pid_file, strerror(errno));
		return give_up(e, text);
	}
	snprintf(text, sizeof text, "%d", (int)getpid());
	ready_tell(&e->config.ready_fd, "ok", text);
	return -1;
}

static int started(struct exec *e, const struct frame *frame)
{
	if (e->io.started || e->awaiting || frame->length != 4) return give_up(e, "the machine's monitor broke the protocol");
	e->io.id = frame->id;
	if (frame->op == VM_AWAITING) {
		e->awaiting = true;
		return tell_starter(e);
	}
	stdio_start(&e->io);
	if (e->order_fd < 0) return tell_starter(e);
	order_answer(&e->order_fd, true);
	return -1;
}

static bool is_null(int fd)
{
	struct stat about;
	return fstat(fd, &about) == 0 && S_ISCHR(about.st_mode) && about.st_rdev == makedev(1, 3);
}

// The engine names the program, or wants none any more.
static int ordered(struct exec *e)
{
	uint8_t records[VM_MAX_DATA];
	size_t length = 0;
	int got = order_take(e->order_fd, records, &length);
	if (got == 0) return -1;
	if (got < 0) return give_up(e, "nothing was ordered");
	uint32_t id = e->io.id;
	bool reads = e->config.has_stdin && !is_null(0);
	if (reads) {
		if (length > sizeof records - 8) return give_up(e, "a longer order than a frame");
		memcpy(records + length, (uint8_t[8]){ VM_S_STDIN }, 8);
		length += 8;
	}
	stdio_init(&e->io, &e->link, false, reads);
	e->io.id = id;
	e->awaiting = false;
	e->deadline = now_ms() + e->config.boot_timeout_ms;
	return link_send(&e->link, VM_EXECUTE, id, records, length) < 0 ? give_up(e, "no memory") : -1;
}

static const char *refusal(const struct exec *e, const struct frame *frame, char *text, size_t size)
{
	size_t at = 0;
	if (get_u32(frame->payload) == ENOENT && e->config.not_found != NULL) at = (size_t)snprintf(text, size, "%.300s: ", e->config.not_found);
	text_clean(text + at, size - at, frame->payload + 8, frame->length - 8);
	return text[at] == '\0' ? "the process could not be started" : text;
}

// -1: go on; else the exit status.
static int take(struct exec *e, const struct frame *frame)
{
	char text[REASON_MAX];
	switch (frame->op) {
	case VM_AWAITING:
	case VM_SPAWNED:
		return started(e, frame);
	case VM_STDOUT:
	case VM_STDERR:
	case VM_EOF:
	case VM_CREDIT:
		e->idle_since = now_ms();
		if (frame->op != VM_STDOUT && frame->op != VM_STDERR && frame->length < 4) return FAILED;
		return stdio_frame(&e->io, frame) == NULL ? -1 : FAILED;
	case VM_EXITED:
		if (frame->length != 8) return FAILED;
		e->exit_code = (int)(get_u32(frame->payload) & 255);
		e->idle_since = now_ms();
		return e->io.started ? -1 : give_up(e, "the machine has ended");
	case VM_ERROR:
		// Of a signal to a process that has just ended, say; before the start it is the answer.
		if (e->io.started || frame->length < 8) return -1;
		return give_up(e, refusal(e, frame, text, sizeof text));
	default:
		return -1;
	}
}

static int read_link(struct exec *e)
{
	for (int fills = 0; fills < 16; fills++) {
		int got = link_fill(&e->link), result = -1;
		struct frame frame;
		const char *why;
		int found;
		while ((found = link_next(&e->link, &frame, &why)) == 1)
			if ((result = take(e, &frame)) >= 0) return result;
		if (found < 0) return give_up(e, "the machine's monitor broke the protocol");
		if (got < 0) {
			if (!e->io.started) return give_up(e, "container not running");
			// The machine is gone. What it sent is still written.
			link_close(&e->link);
			stdio_end(&e->io);
			if (e->exit_code < 0) e->exit_code = 137;
			e->idle_since = now_ms();
			return -1;
		}
		if (got == 0) return -1;
	}
	return -1;
}

// What a process is sent goes to the process it stands for: containerd's shim signals an exec by this pid.
static void forward_signals(struct exec *e)
{
	struct signalfd_siginfo info;
	while (read(e->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		uint8_t payload[8] = { 0 };
		if (info.ssi_signo == SIGWINCH) stdio_resize(&e->io);
		if (info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCHLD || !e->io.started || e->exit_code >= 0) continue;
		put_u32(payload, info.ssi_signo);
		link_send(&e->link, VM_SIGNAL, e->io.id, payload, sizeof payload);
	}
}

static bool is_done(const struct exec *e)
{
	if (e->exit_code < 0) return false;
	int64_t now = now_ms(), moved = e->io.moved_at > e->idle_since ? e->io.moved_at : e->idle_since;
	if (!stdio_is_drained(&e->io)) return now - moved >= BLOCKED_MS;
	return stdio_at_eof(&e->io) || now - moved >= DRAIN_MS;
}

static int loop(struct exec *e)
{
	while (!is_done(e)) {
		int64_t now = now_ms();
		if (!e->io.started && !e->awaiting && now >= e->deadline) return give_up(e, "the guest did not start the process in time");
		struct pollfd fds[6];
		fds[0] = (struct pollfd){ e->link.fd, (short)(POLLIN | (e->link.out.length > 0 ? POLLOUT : 0)), 0 };
		fds[1] = (struct pollfd){ e->signal_fd, POLLIN, 0 };
		stdio_poll(&e->io, fds + 2);
		fds[5] = (struct pollfd){ e->awaiting ? e->order_fd : -1, POLLIN, 0 };
		int wait = e->exit_code >= 0 ? 50 : !e->io.started && !e->awaiting ? (int)(e->deadline - now) : -1;
		if (poll(fds, 6, wait) < 0 && errno != EINTR) return FAILED;
		if (fds[1].revents != 0) forward_signals(e);
		if (e->link.fd >= 0 && fds[0].revents != 0) {
			int result = read_link(e);
			if (result >= 0) return result;
		}
		if (e->awaiting && fds[5].revents != 0) {
			int result = ordered(e);
			if (result >= 0) return result;
		}
		stdio_handle(&e->io, fds + 2);
		// A link that breaks here is read to its end by the next turn.
		if (e->link.fd >= 0) (void)link_flush(&e->link);
	}
	return e->exit_code;
}

int client_run(const struct config *config, int signal_fd)
{
	static struct exec exec;
	struct exec *e = &exec;
	char why[512];
	size_t length = 0;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	*e = (struct exec){ .config = *config, .signal_fd = signal_fd, .exit_code = -1, .order_fd = config->order_fd, .deadline = now_ms() + config->boot_timeout_ms };
	uint8_t *spawn = file_read(config->spawn, VM_MAX_PAYLOAD, &length);
	if (spawn == NULL) {
		snprintf(why, sizeof why, "%s: %s", config->spawn, strerror(errno));
		return give_up(e, why);
	}
	if (config->transient) unlink(config->spawn);
	if (cgroups_join(config, why, sizeof why) < 0) return give_up(e, why);
	if (config->tty && pty_open(config->console_socket, why, sizeof why) < 0) return give_up(e, why);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strncpy(address.sun_path, config->socket, sizeof address.sun_path - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) return give_up(e, "container not running");
	link_init(&e->link, fd, OUT_MAX, payload_max);
	stdio_init(&e->io, &e->link, config->tty, config->has_stdin);
	spawn_set_size(&e->io, spawn, length);
	uint8_t await[8] = { VM_S_AWAIT };
	if (link_send_parts(&e->link, VM_SPAWN, 0, spawn, length, await, e->order_fd >= 0 ? sizeof await : 0) < 0) return give_up(e, "no memory");
	free(spawn);
	return loop(e);
}
