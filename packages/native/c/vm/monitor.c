// pouch-monitor: the host process that IS the container for containerd's shim, conmon and Docker (role machine), or one exec'd process of
// it (role process). It starts and ends QEMU, speaks protocol.h to the guest, carries the standard streams over its own fds 0, 1, 2, and
// exits with the container's status. It decides nothing: runv wrote its configuration. It must not trust the guest.
//
//   pouch-monitor --config FILE       lines `key value`; an unknown key is refused
//
//   role machine|process|keeper   id N (machine: 1)   socket PATH (machine: listens, 0600; process: connects)
//   control PATH           QEMU's chardev (server=on,wait=off) for the control channel; its listener must be of QEMU's user
//   configure FILE, spawn FILE   payloads of CONFIGURE and SPAWN, read at once. The size in VM_S_TTY is replaced by the terminal's, if it has one
//   tty 0|1, console-socket PATH   a pty whose master is sent there (message "/dev/ptmx"); its slave becomes fds 0–2, raw
//   stdin 0|1              relay fd 0; 0: it is never read
//   detach 1               process: goes on in the background; what was started ends once the process runs, with 0, or with its reason (monitor-starter.c)
//   transient 1            process: FILE and the payload are removed once they are read
//   log FILE, log-json 1   process without ready-fd: where a reason is told besides stderr, a line as the OCI runtimes write it
//   not-found TEXT         process: what a reason begins with when there is no such program
//   pid-file PATH          written (own pid) before the ready line
//   netns PATH             the monitor, QEMU and the side processes live in it
//   tap NAME, link NAME    a tap in netns, cross-redirected with the link (default eth0), same MTU, passed to QEMU as fd 10; needs netns
//   shared 1               others have the link too: the tap is only brought up, and whoever started us joins the two
//   mac …                  accepted, unused: QEMU's arguments carry it
//   keeper PATH            machine: the socket of a keeper, whose QEMU this machine takes over; then there is no qemu-arg, open or side
//   cgroup PATH            repeated, both roles: a cgroup.procs file to write oneself into, first of all
//   uid N, gid N           QEMU's user and group (no further groups, no_new_privs); absent: as we are
//   qemu-arg ARG           repeated: argv, [0] absolute. Environment: PATH, HOME=/ and MALLOC_ARENA_MAX=1 (its threads need no heap each) only. Own session, stdin /dev/null, no core files
//   open FD ro|rw PATH     repeated, FD from 20 to 100: a file that QEMU inherits on FD, opened as we are: its user may not reach the path
//   qemu-log PATH          stdout and stderr of QEMU and the side processes
//   side PROGRAM, side-arg ARG   a process beside QEMU, as root, started before it. For each argument --socket-path=PATH the monitor waits until the
//                          socket is there and gives it to uid, before QEMU starts. Its early end ends the machine
//   status FILE            one line of JSON, by rename: state booting|created|running|stopped, and where known qemuPid, guestPid, exitCode,
//                          oomKilled (true), error
//   console FILE           only read, for reasons
//   boot-timeout-ms N      from the start to CONFIGURED (default 60000); process: to SPAWNED
//   poweroff-timeout-ms N  from POWEROFF to QEMU's end, before it is killed (default 3000)
//   starter PID            machine: our parent, without which we end at once, and QEMU with us
//   order-fd N             process: a socket that tells later what to execute (order.h); the process is made but for that
//   ready-fd N             gets `ok PID` or `error TEXT`, one line, and is closed
//
// Clients of `socket` send frames of protocol.h. One process per connection: SPAWN (id ignored) → SPAWNED with the id, or ERROR; a connection
// that ends has its process killed. SIGNAL has no answer but ERROR: send PING behind it, its PONG comes after. PS, STATS, PING, UPDATE,
// CLOCK, POWEROFF as drawn. 128 START, 129 STATE, 130 STOP_NOW: monitor.h. Refusals are VM_ERROR (errno, op, text): EAGAIN not ready, EALREADY started twice, ESRCH
// ended, EBUSY a second process, EPERM another's. SIGNAL of id 1 before START ends the machine with 128+N for KILL, TERM, INT, HUP, QUIT.
// Bounds: 64 clients, 56 with a process, 3 MiB waiting for each; past that the connection ends.
//
// The end: EXITED, then every other process is killed, output is drained (until its end, or 2 s without any; a consumer that takes nothing for 10 s
// loses the rest; .5 s after STOP_NOW), POWEROFF, exit. A process that could not be started: ERROR to START, exit 127 (ENOENT), 126 (EACCES, ENOEXEC), 255.
// A machine with a keeper is told as ready once its guest has greeted: START waits for CONFIGURED and the tap, and tells what failed.
// After POWEROFF the guest's RELEASED is enough: QEMU is killed then.
// QEMU's end without EXITED: 137 if by a signal or by us, else 255; a boot that failed: 255. Processes still running get EXITED 137.
// Catchable signals are ignored (machine) or sent on to the process (process; containerd signals an exec by its pid). The terminal's hang-up
// sends SIGHUP to the process and closes its input.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "monitor.h"

#define CONTROL_OUT_MAX (4u << 20)
#define FAILED 255

int signals_open(bool forward)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
	static const int sent_on[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT };
	sigset_t watched;
	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigaddset(&watched, SIGWINCH);
	for (size_t i = 0; forward && i < sizeof sent_on / sizeof sent_on[0]; i++) sigaddset(&watched, sent_on[i]);
	for (int signal = 1; signal < NSIG; signal++) {
		bool fault = false;
		for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) fault = fault || faults[i] == signal;
		// Some numbers cannot be caught; libc keeps others to itself.
		if (!fault && sigismember(&watched, signal) != 1) (void)sigaction(signal, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	}
	for (int signal = 1; signal < NSIG; signal++)
		if (sigismember(&watched, signal) == 1) (void)sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	if (sigprocmask(SIG_SETMASK, &watched, NULL) < 0) return -1;
	return signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
}

// Whatever our starter had open is not ours: a pipe kept open would hold up whoever waits for its end.
static void close_others(int kept)
{
	long limit = sysconf(_SC_OPEN_MAX);
	for (int fd = 3; fd < kept; fd++) close(fd);
	int from = kept < 3 ? 3 : kept + 1;
	if (syscall(SYS_close_range, from, ~0u, 0) == 0) return;
	for (int fd = from; fd < (limit > 0 && limit < 65536 ? limit : 65536); fd++) close(fd);
}

static int own_machine(struct machine *m, char *why, size_t why_size)
{
	const struct config *config = &m->config;
	if (config->tap != NULL && (m->tap_fd = tap_open(config, why, why_size)) < 0) return -1;
	int result = config->tap == NULL ? 0 : tap_wire(config, why, why_size);
	if (result == 0) result = qemu_start(m, why, why_size);
	// Only QEMU holds it now: the tap ends with QEMU.
	if (m->tap_fd >= 0) close(m->tap_fd);
	return result;
}

static int prepare(struct machine *m, char *why, size_t why_size)
{
	struct config *config = &m->config;
	// Nobody outlives us unseen: what our children leave behind is ours to reap.
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (config->starter != 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != (pid_t)config->starter)) {
		snprintf(why, why_size, "whoever started the machine has ended");
		return -1;
	}
	if (cgroups_join(config, why, why_size) < 0) return -1;
	if (config->tty && pty_open(config->console_socket, why, why_size) < 0) return -1;
	const char *file = config->configure;
	m->configure = file_read(file, VM_MAX_PAYLOAD, &m->configure_length);
	if (m->configure != NULL) m->spawn = file_read(file = config->spawn, VM_MAX_PAYLOAD, &m->spawn_length);
	if (m->spawn == NULL || getrandom(m->nonce, sizeof m->nonce, 0) != (ssize_t)sizeof m->nonce) {
		snprintf(why, why_size, "%s: %s", file, strerror(errno));
		return -1;
	}
	stdio_init(&m->io, &m->control, config->tty, config->has_stdin);
	m->io.id = 1;
	if (clients_listen(m, why, why_size) < 0) return -1;
	int netns = -1;
	if (config->netns != NULL) {
		netns = open(config->netns, O_RDONLY | O_CLOEXEC);
		int joined = netns < 0 ? -1 : setns(netns, CLONE_NEWNET);
		if (joined < 0) snprintf(why, why_size, "network namespace %s: %s", config->netns, strerror(errno));
		if (joined < 0 && netns >= 0) close(netns);
		if (joined < 0) return -1;
	}
	int result = config->keeper != NULL ? keeper_claim(m, netns, why, why_size) : own_machine(m, why, why_size);
	if (netns >= 0) close(netns);
	return result;
}

static void handle_signals(struct machine *m)
{
	struct signalfd_siginfo info;
	while (read(m->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGWINCH) stdio_resize(&m->io);
		else if (info.ssi_signo == SIGCHLD) children_reap(m);
	}
}

// One turn: waits, then handles what is there.
static int turn(struct machine *m)
{
	enum { SIGNALS, CONTROL, LISTEN, KEEPER, STDIO, CLIENTS = STDIO + 3, ALL = CLIENTS + CLIENTS_MAX };
	struct pollfd fds[ALL];
	fds[SIGNALS] = (struct pollfd){ m->signal_fd, POLLIN, 0 };
	fds[CONTROL] = (struct pollfd){ m->control.fd, (short)(POLLIN | (m->control.out.length > 0 ? POLLOUT : 0)), 0 };
	fds[LISTEN] = (struct pollfd){ m->phase == DEAD ? -1 : m->listen_fd, POLLIN, 0 };
	fds[KEEPER] = (struct pollfd){ m->qemu > 0 ? m->keeper_fd : -1, POLLIN, 0 };
	stdio_poll(&m->io, fds + STDIO);
	for (int i = 0; i < CLIENTS_MAX; i++) {
		struct link *link = &m->clients[i].link;
		bool waits = link->fd >= 0 && client_waits(m, i);
		// One that waits for room and has nothing to be sent is not looked at: its hang-up would turn us in circles.
		fds[CLIENTS + i] = (struct pollfd){ waits && link->out.length == 0 ? -1 : link->fd, (short)((waits ? 0 : POLLIN) | (link->out.length > 0 ? POLLOUT : 0)), 0 };
	}
	if (poll(fds, ALL, machine_wait_ms(m)) < 0 && errno != EINTR) return -1;
	if (m->control.fd >= 0 && fds[CONTROL].fd == m->control.fd && fds[CONTROL].revents != 0) guest_read(m);
	if (fds[SIGNALS].revents != 0) handle_signals(m);
	if (fds[KEEPER].fd >= 0 && fds[KEEPER].revents != 0) keeper_read(m);
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (m->clients[i].link.fd >= 0 && fds[CLIENTS + i].fd >= 0 && (fds[CLIENTS + i].revents != 0 || m->clients[i].link.in.length > 0)) client_read(m, i);
	if (fds[LISTEN].fd >= 0 && fds[LISTEN].revents != 0) clients_accept(m);
	stdio_handle(&m->io, fds + STDIO);
	machine_tick(m);
	if (m->control.fd >= 0 && link_flush(&m->control) < 0) guest_read(m);
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (m->clients[i].link.fd >= 0 && m->clients[i].link.out.length > 0) client_flush(m, i);
	return 0;
}

// Ends what is left of our children, for at most a second.
static void finish(struct machine *m)
{
	qemu_kill(m);
	for (int i = 0; i < 200; i++) {
		bool left = m->qemu > 0;
		for (size_t side = 0; side < m->config.side_count; side++) left = left || m->sides[side] > 0;
		if (!left) break;
		sides_kill(m);
		children_reap(m);
		if (m->keeper_fd >= 0 && m->qemu > 0) keeper_read(m);
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	if (m->config.tap != NULL) tap_remove(&m->config);
	if (m->listen_fd >= 0) unlink(m->config.socket);
	m->status.state = "stopped";
	machine_tell(m);
	ready_tell(&m->config.ready_fd, "error", m->status.error[0] == '\0' ? "the machine ended" : m->status.error);
}

int machine_run(const struct config *config)
{
	static struct machine machine;
	struct machine *m = &machine;
	*m = (struct machine){ .config = *config, .status = { .state = "booting", .exit_code = -1 }, .next_id = 2, .listen_fd = -1, .tap_fd = -1, .keeper_fd = -1, .starter = -1, .qemu_ended = machine_qemu_ended };
	m->deadline = now_ms() + config->boot_timeout_ms;
	link_init(&m->control, -1, CONTROL_OUT_MAX, guest_payload_max);
	m->signal_fd = signals_open(false);
	machine_tell(m);
	char why[REASON_MAX] = "signals";
	if (m->signal_fd < 0 || prepare(m, why, sizeof why) < 0) machine_kill(m, FAILED, why);
	machine_tell(m);
	while (m->qemu > 0 || !machine_is_done(m))
		if (turn(m) < 0) machine_kill(m, FAILED, "poll failed");
	finish(m);
	return m->status.exit_code < 0 ? FAILED : m->status.exit_code;
}

int main(int argc, char **argv)
{
	static struct config config;
	char why[1024];
	if (argc != 3 || strcmp(argv[1], "--config") != 0) {
		fputs("usage: pouch-monitor --config FILE\n", stderr);
		return 2;
	}
	int result = config_read(&config, argv[2], why, sizeof why);
	if (config.ready_fd >= 0 && fcntl(config.ready_fd, F_SETFD, FD_CLOEXEC) < 0) config.ready_fd = -1;
	if (result < 0) {
		if (config.ready_fd < 0) fprintf(stderr, "pouch-monitor: %s\n", why);
		ready_tell(&config.ready_fd, "error", why);
		return FAILED;
	}
	close_others(config.role == ROLE_PROCESS && config.order_fd >= 0 ? config.order_fd : config.ready_fd);
	// Standard fds that are missing would be taken by the next things opened.
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) return FAILED;
	if (chdir("/") < 0) return FAILED;
	if (config.role == ROLE_MACHINE) return machine_run(&config);
	if (config.role == ROLE_KEEPER) return keeper_run(&config);
	if (config.transient) unlink(argv[2]);
	if (config.detach && starter_leave(&config) < 0) return FAILED;
	return client_run(&config, signals_open(true));
}
