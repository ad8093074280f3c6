// Clients on the machine's socket: runv's verbs, and the monitors of exec'd processes. One of them must not be able to hold up another.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "monitor.h"

#define OUT_MAX (3u << 20) // both streams' credit and one great reply; a client that lets more wait does not read
#define FILLS_AT_ONCE 4
#define WINDOW_MOST (1u << 20)

struct rule {
	uint8_t op;
	uint32_t least, most;
	bool guest;   // needs room towards the guest
	int (*take)(struct machine *m, int index, const struct frame *frame); // 0, or an errno to refuse with
};

static int take_start(struct machine *m, int index, const struct frame *frame)
{
	(void)frame;
	if (m->phase == BOOTING && !m->told) return EAGAIN;
	if (m->phase == STARTING || m->phase == RUNNING || m->starter >= 0) return EALREADY;
	if (m->phase > CREATED) return ESRCH;
	m->starter = index;
	machine_start_waiting(m);
	return 0;
}

static int take_state(struct machine *m, int index, const struct frame *frame)
{
	char text[2 * REASON_MAX + 256];
	client_send(m, index, frame->op, 0, text, status_format(&m->status, text, sizeof text));
	return 0;
}

static int take_stop_now(struct machine *m, int index, const struct frame *frame)
{
	client_send(m, index, frame->op, 0, NULL, 0);
	m->hurried = true;
	machine_kill(m, m->phase == BOOTING ? 255 : -1, m->phase == BOOTING ? "stopped while it booted" : NULL);
	return 0;
}

static int take_spawn(struct machine *m, int index, const struct frame *frame)
{
	int execs = 0;
	if (m->phase == BOOTING) return EAGAIN;
	if (m->phase > RUNNING) return ESRCH;
	if (m->clients[index].process != 0) return EBUSY;
	for (int i = 0; i < CLIENTS_MAX; i++) execs += m->clients[i].process != 0;
	struct process *process = execs >= EXECS_MAX ? NULL : process_add(m, index, frame->payload, frame->length);
	if (process == NULL) return EAGAIN;
	if (link_send(&m->control, VM_SPAWN, process->id, frame->payload, frame->length) < 0) {
		process->id = 0;
		return ENOMEM;
	}
	m->clients[index].process = process->id;
	return 0;
}

static int take_execute(struct machine *m, int index, const struct frame *frame)
{
	struct process *process = process_find(m, frame->id);
	if (process == NULL || process->client != index) return EPERM;
	if (!process->awaiting || process->spawned) return EAGAIN;
	return link_send(&m->control, frame->op, frame->id, frame->payload, frame->length) < 0 ? ENOBUFS : 0;
}

// STDIN, STDIN_CLOSE, CREDIT and WINSIZE of the client's own process. One that has ended meanwhile is no error: its frames cross ours.
static int take_stream(struct machine *m, int index, const struct frame *frame)
{
	struct process *process = process_find(m, frame->id);
	if (process == NULL && frame->id > 1 && frame->id < m->next_id) return 0;
	if (process == NULL || process->client != index) return EPERM;
	if (!process->spawned) return EAGAIN;
	if (frame->op == VM_STDIN) {
		if (frame->length > process->in_window) return EPROTO;
		process->in_window -= frame->length;
	}
	if (frame->op == VM_CREDIT) {
		uint32_t stream = get_u32(frame->payload), bytes = get_u32(frame->payload + 4);
		if (stream != 1 && stream != 2) return EPROTO;
		if (bytes > WINDOW_MOST || process->window[stream - 1] + bytes > WINDOW_MOST) return EPROTO;
		process->window[stream - 1] += bytes;
	}
	if (process->exited && frame->op != VM_CREDIT) return 0;
	return link_send(&m->control, frame->op, frame->id, frame->payload, frame->length) < 0 ? ENOBUFS : 0;
}

static int take_signal(struct machine *m, int index, const struct frame *frame)
{
	uint32_t signal = get_u32(frame->payload), flags = get_u32(frame->payload + 4);
	bool all = (flags & VM_SIGNAL_ALL) != 0;
	if (signal > 64) return EINVAL;
	if (m->phase == BOOTING && !m->told) return EAGAIN;
	if (m->phase > RUNNING) return ESRCH;
	if (m->phase <= CREATED && frame->id == 1) {
		// As runc's waiting init: it ends by what would end any process that has no handler.
		if (signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGQUIT) machine_kill(m, 128 + (int)signal, NULL);
		return 0;
	}
	if (frame->id != 1 && !all && process_find(m, frame->id) == NULL) return ESRCH;
	struct pending *pending = pending_add(m, VM_SIGNAL, index, 0, frame->id);
	if (pending == NULL) return EAGAIN;
	uint8_t number[4];
	put_u32(number, pending->number);
	if (link_send(&m->control, frame->op, frame->id, frame->payload, frame->length) == 0 && link_send(&m->control, VM_PING, 0, number, sizeof number) == 0) return 0;
	pending_remove(m, pending);
	return ENOBUFS;
}

static int take_request(struct machine *m, int index, const struct frame *frame)
{
	if (m->phase == BOOTING) return EAGAIN;
	if (m->phase > DRAINING) {
		// The PING behind a signal that ended the machine: the signal met no error.
		if (frame->op != VM_PING) return ESRCH;
		client_send(m, index, VM_PONG, 0, frame->payload, frame->length);
		return 0;
	}
	bool numbered = frame->op != VM_UPDATE;
	struct pending *pending = pending_add(m, frame->op, index, numbered ? get_u32(frame->payload) : 0, 0);
	if (pending == NULL) return EAGAIN;
	uint8_t number[4];
	put_u32(number, pending->number);
	int sent = numbered ? link_send(&m->control, frame->op, 0, number, sizeof number) : link_send(&m->control, frame->op, 0, frame->payload, frame->length);
	if (sent == 0) return 0;
	pending_remove(m, pending);
	return ENOBUFS;
}

static int take_power_off(struct machine *m, int index, const struct frame *frame)
{
	(void)index;
	if (m->phase == BOOTING) return EAGAIN;
	if (m->phase > RUNNING) return m->phase <= POWERING_OFF ? 0 : ESRCH;
	m->powered_off = true;
	machine_power_off(m, get_u32(frame->payload));
	return 0;
}

static int take_clock(struct machine *m, int index, const struct frame *frame)
{
	(void)index;
	if (m->phase == BOOTING) return EAGAIN;
	return link_send(&m->control, frame->op, 0, frame->payload, frame->length) < 0 ? ENOBUFS : 0;
}

static const struct rule rules[] = {
	{ VM_SPAWN, 0, VM_MAX_PAYLOAD, true, take_spawn },
	{ VM_EXECUTE, 0, VM_MAX_DATA, true, take_execute },
	{ VM_STDIN, 0, VM_MAX_DATA, true, take_stream },
	{ VM_STDIN_CLOSE, 0, 0, true, take_stream },
	{ VM_CREDIT, 8, 8, true, take_stream },
	{ VM_SIGNAL, 8, 8, true, take_signal },
	{ VM_WINSIZE, 4, 4, true, take_stream },
	{ VM_PS, 4, 4, true, take_request },
	{ VM_STATS, 4, 4, true, take_request },
	{ VM_POWEROFF, 4, 4, true, take_power_off },
	{ VM_PING, 4, 4, true, take_request },
	{ VM_CLOCK, 40, 40, true, take_clock },
	{ VM_UPDATE, 0, 4096, true, take_request },
	{ OP_START, 0, 0, true, take_start },
	{ OP_STATE, 0, 0, false, take_state },
	{ OP_STOP_NOW, 0, 0, false, take_stop_now },
};

static const struct rule *rule_of(uint8_t op)
{
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		if (rules[i].op == op) return &rules[i];
	return NULL;
}

static uint32_t client_payload_max(uint8_t op)
{
	const struct rule *rule = rule_of(op);
	return rule == NULL ? UINT32_MAX : rule->most;
}

int clients_listen(struct machine *m, char *why, size_t why_size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = m->config.socket;
	int fd = strlen(path) < sizeof address.sun_path ? socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : (errno = ENAMETOOLONG, -1);
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	for (int i = 0; i < CLIENTS_MAX; i++) link_init(&m->clients[i].link, -1, OUT_MAX, client_payload_max);
	unlink(path);
	mode_t mask = umask(0177);
	int result = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, CLIENTS_MAX) == 0 ? 0 : -1;
	if (result < 0) snprintf(why, why_size, "socket %s: %s", path, strerror(errno));
	umask(mask);
	m->listen_fd = fd;
	return result;
}

void clients_accept(struct machine *m)
{
	int index = 0;
	while (index < CLIENTS_MAX && m->clients[index].link.fd >= 0) index++;
	int fd = accept4(m->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) return;
	if (index < CLIENTS_MAX) {
		m->clients[index].link.fd = fd;
		m->clients[index].process = 0;
		return;
	}
	struct link full;
	link_init(&full, fd, 4096, client_payload_max);
	static const char text[] = "........too many clients";
	uint8_t payload[sizeof text - 1];
	memcpy(payload, text, sizeof payload);
	put_u32(payload, EAGAIN);
	put_u32(payload + 4, 0);
	if (link_send(&full, VM_ERROR, 0, payload, sizeof payload) == 0) (void)link_flush(&full);
	link_close(&full);
}

void client_close(struct machine *m, int index)
{
	struct process *process = process_find(m, m->clients[index].process);
	link_close(&m->clients[index].link);
	client_forget(m, index);
	m->clients[index].process = 0;
	if (process == NULL) return;
	// The process lives by its monitor: when that is killed, so is it.
	uint8_t kill[8] = { SIGKILL };
	if ((process->spawned || process->awaiting) && !process->exited) link_send(&m->control, VM_SIGNAL, process->id, kill, sizeof kill);
}

void client_send(struct machine *m, int index, uint8_t op, uint32_t id, const void *payload, size_t length)
{
	if (link_send(&m->clients[index].link, op, id, payload, length) < 0) client_close(m, index);
}

void client_refuse(struct machine *m, int index, uint32_t id, int error, uint8_t op, const char *text)
{
	uint8_t numbers[8];
	put_u32(numbers, (uint32_t)error);
	put_u32(numbers + 4, op);
	if (link_send_parts(&m->clients[index].link, VM_ERROR, id, numbers, sizeof numbers, text, strlen(text)) < 0) client_close(m, index);
}

static const char *words(int error, uint8_t op)
{
	switch (error) {
	case EAGAIN: return op == OP_START || op == VM_SIGNAL ? "the machine is not ready yet" : "the machine is not ready yet, or too much is under way";
	case EALREADY: return "the container has been started already";
	case ESRCH: return op == VM_SIGNAL ? "process already finished" : "container not running";
	case EBUSY: return "this connection has a process already";
	case EPERM: return "not this connection's process";
	case EPROTO: return "against the protocol";
	default: return strerror(error);
	}
}

bool client_waits(const struct machine *m, int index)
{
	struct frame frame;
	const char *why;
	struct link *link = (struct link *)&m->clients[index].link;
	return link_is_full(&m->control) && link_peek(link, &frame, &why) == 1 && rule_of(frame.op)->guest;
}

void client_read(struct machine *m, int index)
{
	struct client *client = &m->clients[index];
	bool gone = false;
	for (int fills = 0; fills < FILLS_AT_ONCE && client->link.fd >= 0 && !gone; fills++) {
		int got = client_waits(m, index) ? 0 : link_fill(&client->link);
		gone = got < 0;
		struct frame frame;
		const char *why = NULL;
		int found = 0;
		while (client->link.fd >= 0 && !client_waits(m, index) && (found = link_next(&client->link, &frame, &why)) == 1) {
			const struct rule *rule = rule_of(frame.op);
			int error = frame.length < rule->least ? EPROTO : rule->take(m, index, &frame);
			if (error != 0 && client->link.fd >= 0) client_refuse(m, index, frame.id, error, frame.op, words(error, frame.op));
			if (error == EPROTO) found = -1;
			if (found < 0) break;
		}
		if (found < 0 && client->link.fd >= 0) {
			if (why != NULL) client_refuse(m, index, 0, EPROTO, 0, why);
			if (client->link.fd >= 0) (void)link_flush(&client->link);
			gone = true;
		}
		if (got == 0) break;
	}
	if (gone && client->link.fd >= 0) client_close(m, index);
}

void client_flush(struct machine *m, int index)
{
	if (link_flush(&m->clients[index].link) < 0) client_close(m, index);
}

void clients_end(struct machine *m)
{
	uint8_t payload[8];
	put_u32(payload, 137);
	put_u32(payload + 4, 0);
	for (size_t i = 0; i < PROCESSES_MAX; i++) {
		struct process *process = &m->processes[i];
		if (process->id != 0 && process->client >= 0 && !process->exited) client_send(m, process->client, VM_EXITED, process->id, payload, sizeof payload);
		process->id = 0;
	}
}
