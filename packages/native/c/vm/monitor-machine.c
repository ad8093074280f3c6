// A machine's life: boot, created, running, its end. Every phase has a time limit or an event that is sure to come.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "monitor.h"

#ifndef SIOCOUTQ
#define SIOCOUTQ 0x5411 // of linux/sockios.h
#endif
#define RESYNC_BYTES 64u
#define OLD_HELLOS_MAX 1024u // whoever greeted it before asked again every 250 ms, for as long as its boot took
#define HELLO_EVERY_MS 250
#define DRAIN_MS 2000     // without output, while the guest could send
#define BLOCKED_MS 10000  // a consumer that takes nothing for so long has lost the rest
#define HURRIED_MS 500    // the same after STOP_NOW
#define LATE_BYTES_MAX (8u << 20) // after EXITED: what pipes and buffers can have held
#define QUIET_MS 1000     // QEMU without its control channel
#define SIDE_MS 500       // QEMU's own end follows that of a side process, or does not
#define CLIENTS_END_MS 1000

void machine_tell(struct machine *m)
{
	// A disk that is full must not end the machine; the state can be asked for by the socket.
	(void)status_write(&m->status, m->config.status);
}

static void enter(struct machine *m, enum phase phase, int64_t limit_ms)
{
	m->phase = phase;
	m->deadline = limit_ms == 0 ? 0 : now_ms() + limit_ms;
}

void machine_kill(struct machine *m, int exit_code, const char *reason)
{
	if (m->phase >= KILLED) return;
	if (reason != NULL && m->status.error[0] == '\0') snprintf(m->status.error, sizeof m->status.error, "%s", reason);
	if (m->status.exit_code < 0) m->status.exit_code = exit_code;
	m->signalled = true;
	// A machine that never got to CONFIGURED is told as such at QEMU's end.
	enter(m, KILLED, 0);
	if (m->qemu > 0) qemu_kill(m);
	else enter(m, DEAD, BLOCKED_MS);
}

void machine_break(struct machine *m, const char *why)
{
	char reason[256];
	snprintf(reason, sizeof reason, "the guest broke the protocol: %s", why);
	machine_kill(m, m->phase == BOOTING ? 255 : -1, reason);
}

static void send_hello(struct machine *m)
{
	static const uint8_t zeros[RESYNC_BYTES];
	uint8_t payload[24];
	int unread = 0;
	m->hello_at = now_ms();
	// What QEMU has not even read yet will reach the guest; another one would only pile up.
	if (m->control.out.length > 0 || (m->hellos > 0 && ioctl(m->control.fd, SIOCOUTQ, &unread) == 0 && unread > 0)) return;
	put_u32(payload, VM_MAGIC);
	put_u32(payload + 4, VM_PROTOCOL_VERSION);
	memcpy(payload + 8, m->nonce, sizeof m->nonce);
	if (link_send_bytes(&m->control, zeros, sizeof zeros) == 0 && link_send(&m->control, VM_HELLO, 0, payload, sizeof payload) == 0) m->hellos++;
}

static void connect_control(struct machine *m)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t length = sizeof peer;
	strncpy(address.sun_path, m->config.control, sizeof address.sun_path - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) return;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		close(fd);
		return;
	}
	// QEMU's user may have put a way to another socket there: only its own is spoken to.
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || peer.uid != (m->config.uid >= 0 ? (uid_t)m->config.uid : geteuid())) {
		close(fd);
		machine_kill(m, 255, "the control socket is not QEMU's");
		return;
	}
	m->control.fd = fd;
	send_hello(m);
}

static void tell_created(struct machine *m)
{
	char text[REASON_MAX];
	m->told = true;
	if (m->config.pid_file != NULL && pid_file_write(m->config.pid_file, getpid()) < 0) {
		snprintf(text, sizeof text, "%s: %s", m->config.pid_file, strerror(errno));
		machine_kill(m, 255, text);
		return;
	}
	m->status.state = "created";
	machine_tell(m);
	snprintf(text, sizeof text, "%d", (int)getpid());
	ready_tell(&m->config.ready_fd, "ok", text);
}

void machine_hello(struct machine *m)
{
	m->greeted = true;
	m->hellos--;
	m->old_hellos = OLD_HELLOS_MAX;
	if (link_send(&m->control, VM_CONFIGURE, 0, m->configure, m->configure_length) < 0) machine_kill(m, 255, "no memory");
	free(m->configure);
	m->configure = NULL;
	// A guest that was prepared has its root; whoever starts the container need not wait for the rest, START does.
	if (m->keeper_fd >= 0 && m->phase == BOOTING) tell_created(m);
}

void machine_configured(struct machine *m)
{
	if (!m->told) tell_created(m);
	if (m->phase != BOOTING) return;
	enter(m, CREATED, 0);
	machine_start_waiting(m);
}

void machine_start_waiting(struct machine *m)
{
	int client = m->starter;
	if (client < 0 || m->phase != CREATED || m->tap_pending) return;
	if (machine_spawn(m, client) == 0) return;
	m->starter = -1;
	client_refuse(m, client, 0, ENOMEM, OP_START, "no memory");
}

int machine_spawn(struct machine *m, int client)
{
	spawn_set_size(&m->io, m->spawn, m->spawn_length);
	if (link_send(&m->control, VM_SPAWN, 1, m->spawn, m->spawn_length) < 0) return -1;
	m->starter = client;
	enter(m, STARTING, 0);
	return 0;
}

void machine_spawned(struct machine *m, uint32_t guest_pid)
{
	enter(m, RUNNING, 0);
	m->status.state = "running";
	m->status.guest_pid = guest_pid;
	machine_tell(m);
	stdio_start(&m->io);
	if (m->starter >= 0) client_send(m, m->starter, OP_START, 0, NULL, 0);
	m->starter = -1;
}

void machine_not_spawned(struct machine *m, uint32_t error, const char *text)
{
	snprintf(m->status.error, sizeof m->status.error, "%s", text[0] == '\0' ? "the process could not be started" : text);
	m->status.exit_code = error == ENOENT ? 127 : error == EACCES || error == ENOEXEC ? 126 : 255;
	if (m->starter >= 0) client_refuse(m, m->starter, 1, (int)(error & 0xffff), VM_SPAWN, m->status.error);
	m->starter = -1;
	stdio_end(&m->io);
	machine_power_off(m, 0);
}

void machine_exited(struct machine *m, uint32_t exit_code, bool oom)
{
	m->status.exit_code = (int)exit_code;
	m->status.oom_killed = m->status.oom_killed || oom;
	m->idle_since = now_ms();
	if (m->phase == POWERING_OFF) return;
	enter(m, DRAINING, 0);
	// As with the end of a pid namespace's first process: nothing of the container outlives it.
	uint8_t kill[8];
	put_u32(kill, SIGKILL);
	put_u32(kill + 4, VM_SIGNAL_ALL);
	link_send(&m->control, VM_SIGNAL, 1, kill, sizeof kill);
}

void machine_power_off(struct machine *m, uint32_t grace_ms)
{
	uint8_t payload[4];
	put_u32(payload, grace_ms);
	if (link_send(&m->control, VM_POWEROFF, 0, payload, sizeof payload) < 0) {
		machine_kill(m, -1, NULL);
		return;
	}
	enter(m, POWERING_OFF, (int64_t)grace_ms + m->config.poweroff_timeout_ms);
}

// Why QEMU ended, in words; what it and the guest's kernel last said is part of them.
static void explain(struct machine *m, int wait_status)
{
	char *into = m->status.error, line[1000];
	size_t size = sizeof m->status.error;
	if (into[0] == '\0') {
		if (WIFSIGNALED(wait_status)) snprintf(into, size, "QEMU was killed by signal %d", WTERMSIG(wait_status));
		else snprintf(into, size, "QEMU ended by itself with status %d", WEXITSTATUS(wait_status));
	}
	if (!WIFSIGNALED(wait_status) && WEXITSTATUS(wait_status) != 0) {
		file_tail(m->config.qemu_log, 1, line, sizeof line);
		if (line[0] != '\0') snprintf(into + strlen(into), size - strlen(into), ": %s", line);
	}
	file_tail(m->config.console, m->greeted ? 1 : 5, line, sizeof line);
	if (line[0] != '\0') snprintf(into + strlen(into), size - strlen(into), "; console: %s", line);
}

void machine_qemu_ended(struct machine *m, int wait_status)
{
	// What the guest sent before its end counts: EXITED may be among it.
	for (int i = 0; i < 8 && m->control.fd >= 0 && m->phase != KILLED; i++) guest_read(m);
	bool booting = m->config.ready_fd >= 0 || strcmp(m->status.state, "booting") == 0;
	bool told = m->status.exit_code >= 0 && m->status.error[0] == '\0' && !booting;
	if (!told && !m->powered_off && (!m->signalled || booting)) explain(m, wait_status);
	if (m->status.exit_code < 0) m->status.exit_code = booting ? 255 : m->signalled || m->powered_off || WIFSIGNALED(wait_status) ? 137 : 255;
	link_close(&m->control);
	if (m->starter >= 0) client_refuse(m, m->starter, 1, EIO, OP_START, m->status.error);
	stdio_end(&m->io);
	clients_end(m);
	enter(m, DEAD, CLIENTS_END_MS);
	m->idle_since = now_ms();
}

static void tick_booting(struct machine *m, int64_t now)
{
	if (now >= m->deadline) {
		char reason[128];
		snprintf(reason, sizeof reason, "the guest did not answer within %u ms", m->config.boot_timeout_ms);
		machine_kill(m, 255, reason);
	} else if (m->control.fd < 0 && m->quiet_since == 0) connect_control(m);
	else if (m->control.fd >= 0 && !m->greeted && now - m->hello_at >= HELLO_EVERY_MS) send_hello(m);
}

void machine_tick(struct machine *m)
{
	int64_t now = now_ms(), moved = m->io.moved_at > m->idle_since ? m->io.moved_at : m->idle_since, patience = m->hurried ? HURRIED_MS : BLOCKED_MS;
	if (m->phase < KILLED && m->quiet_since != 0 && now - m->quiet_since >= QUIET_MS) machine_kill(m, -1, "QEMU has closed the control channel");
	if (m->phase < POWERING_OFF && m->side_lost_at != 0 && now - m->side_lost_at >= SIDE_MS) machine_kill(m, 255, "a process that serves the machine's volumes has ended");
	switch (m->phase) {
	case BOOTING:
		tick_booting(m, now);
		break;
	case DRAINING:
		if (stdio_is_drained(&m->io) ? stdio_at_eof(&m->io) || now - moved >= DRAIN_MS : now - moved >= patience) machine_power_off(m, 0);
		else if (m->late_bytes > LATE_BYTES_MAX) machine_power_off(m, 0);
		break;
	case POWERING_OFF:
		// Its end is its keeper's affair; the control group, which `delete` waits for, holds both.
		if (m->released && m->keeper_fd >= 0) qemu_left(m);
		else if (now >= m->deadline) machine_kill(m, -1, NULL);
		break;
	default:
		break;
	}
}

int machine_wait_ms(const struct machine *m)
{
	int64_t now = now_ms();
	if (m->quiet_since != 0 || m->side_lost_at != 0) return 50;
	switch (m->phase) {
	case BOOTING: {
		if (m->control.fd < 0) return 2;
		int64_t next = m->greeted || m->hello_at + HELLO_EVERY_MS > m->deadline ? m->deadline : m->hello_at + HELLO_EVERY_MS;
		return next > now ? (int)(next - now) : 0;
	}
	case DRAINING:
	case DEAD: return 50;
	case POWERING_OFF: return m->deadline > now ? (int)(m->deadline - now) : 0;
	default: return -1;
	}
}

bool machine_is_done(const struct machine *m)
{
	if (m->phase != DEAD) return false;
	int64_t now = now_ms(), moved = m->io.moved_at > m->idle_since ? m->io.moved_at : m->idle_since, patience = m->hurried ? HURRIED_MS : BLOCKED_MS;
	if (!stdio_is_drained(&m->io) && now - moved < patience) return false;
	for (int i = 0; i < CLIENTS_MAX && now < m->deadline; i++)
		if (m->clients[i].link.fd >= 0 && m->clients[i].link.out.length > 0) return false;
	return true;
}
