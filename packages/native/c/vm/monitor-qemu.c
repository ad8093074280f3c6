// QEMU and the processes beside it. None of them may outlive the monitor, whatever ends it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "monitor.h"

#define TAP_FD 10 // as `-netdev tap,fd=10` says
#define HIGH_FD 200 // descriptors on their way to a child: above every number that one gets there
#define SOCKET_OPTION "--socket-path="

static char *const environment[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "MALLOC_ARENA_MAX=1", NULL };

int cgroups_join(const struct config *config, char *why, size_t why_size)
{
	return cgroups_move(config, 0, why, why_size); // 0 is the writer itself, in whatever pid namespace
}

int cgroups_move(const struct config *config, pid_t pid, char *why, size_t why_size)
{
	char text[16];
	int length = snprintf(text, sizeof text, "%d\n", (int)pid);
	for (size_t i = 0; i < config->cgroup_count; i++) {
		int fd = open(config->cgroups[i], O_WRONLY | O_CLOEXEC);
		bool done = fd >= 0 && write(fd, text, (size_t)length) == length;
		if (!done) snprintf(why, why_size, "cgroup %s: %s", config->cgroups[i], strerror(errno));
		if (fd >= 0) close(fd);
		if (!done) return -1;
	}
	return 0;
}

static int opened[OPENINGS_MAX]; // of config's openings, while QEMU is being started

static void openings_close(size_t count)
{
	for (size_t i = 0; i < count; i++) close(opened[i]);
}

static int openings_open(const struct config *config, char *why, size_t why_size)
{
	for (size_t i = 0; i < config->opening_count; i++) {
		const struct opening *opening = &config->openings[i];
		int fd = open(opening->path, (opening->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
		opened[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
		if (opened[i] < 0) snprintf(why, why_size, "%s: %s", opening->path, strerror(errno));
		if (fd >= 0) close(fd);
		if (opened[i] >= 0) continue;
		openings_close(i);
		return -1;
	}
	return 0;
}

// In the child. Returns only when it cannot be done.
static void become(char **arguments, const struct config *as, int log_fd, int tap_fd, pid_t parent)
{
	sigset_t none;
	sigemptyset(&none);
	for (int signal = 1; signal < NSIG; signal++) (void)sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	// Out of the session: neither the terminal's end nor its size is QEMU's affair.
	setsid();
	umask(0077);
	int null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0) return;
	if (null > 2) close(null);
	if (tap_fd == TAP_FD) (void)fcntl(tap_fd, F_SETFD, 0);
	else if (tap_fd >= 0 && dup2(tap_fd, TAP_FD) < 0) return;
	for (size_t i = 0; as != NULL && i < as->opening_count; i++) {
		if (dup2(opened[i], as->openings[i].fd) < 0) return;
	}
	struct rlimit no_core = { 0, 0 }; // it would hold the guest's memory
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (as != NULL && (as->uid >= 0 || as->gid >= 0)) {
		gid_t gid = as->gid >= 0 ? (gid_t)as->gid : getgid();
		uid_t uid = as->uid >= 0 ? (uid_t)as->uid : getuid();
		if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) return;
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return;
	}
	// After the change of user, which clears it. A monitor that died before this is seen by the parent we have.
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) return;
	if (getppid() != parent) _exit(1);
	execve(arguments[0], arguments, environment);
}

// Starts one program. Its pid, or -1 with the reason.
static pid_t start(char **arguments, const struct config *as, int log_fd, int tap_fd, char *why, size_t why_size)
{
	int failed[2], error = 0;
	pid_t parent = getpid();
	if (pipe2(failed, O_CLOEXEC) < 0) return -1;
	int tell = fcntl(failed[1], F_DUPFD_CLOEXEC, HIGH_FD);
	close(failed[1]);
	pid_t pid = tell < 0 ? -1 : fork();
	if (pid == 0) {
		become(arguments, as, log_fd, tap_fd, parent);
		error = errno;
		ssize_t ignored = write(tell, &error, sizeof error);
		(void)ignored;
		_exit(127);
	}
	if (pid < 0) error = errno;
	if (tell >= 0) close(tell);
	// Nothing comes when the exec succeeded: the pipe closes with it.
	if (pid > 0 && read(failed[0], &error, sizeof error) != (ssize_t)sizeof error) error = 0;
	close(failed[0]);
	if (error == 0) return pid;
	snprintf(why, why_size, "%s cannot be run: %s", arguments[0], strerror(error));
	return -1;
}

// Waits for a side process to make its socket, and gives that to QEMU's user: QEMU connects once, as it starts.
static int wait_socket(struct machine *m, size_t index, int64_t deadline, char *why, size_t why_size)
{
	const struct side *side = &m->config.sides[index];
	for (size_t i = 1; i < side->count; i++) {
		if (strncmp(side->arguments[i], SOCKET_OPTION, sizeof SOCKET_OPTION - 1) != 0) continue;
		const char *path = side->arguments[i] + sizeof SOCKET_OPTION - 1;
		struct stat about;
		while (lstat(path, &about) < 0 || !S_ISSOCK(about.st_mode)) {
			children_reap(m);
			if (m->sides[index] == 0 || now_ms() > deadline) {
				char line[300];
				file_tail(m->config.qemu_log, 1, line, sizeof line);
				snprintf(why, why_size, "%s %s%s%s", side->arguments[0], m->sides[index] == 0 ? "ended early" : "did not make its socket in time",
					line[0] == '\0' ? "" : ": ", line);
				return -1;
			}
			nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
		}
		if (m->config.uid < 0) continue;
		if (lchown(path, (uid_t)m->config.uid, m->config.gid >= 0 ? (gid_t)m->config.gid : (gid_t)-1) == 0) continue;
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

int qemu_start(struct machine *m, char *why, size_t why_size)
{
	const struct config *config = &m->config;
	int64_t deadline = now_ms() + config->boot_timeout_ms;
	int log_fd = open(config->qemu_log != NULL ? config->qemu_log : "/dev/null", O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (log_fd < 0) {
		snprintf(why, why_size, "%s: %s", config->qemu_log, strerror(errno));
		return -1;
	}
	int result = 0;
	for (size_t i = 0; i < config->side_count && result == 0; i++) {
		pid_t pid = start(config->sides[i].arguments, NULL, log_fd, -1, why, why_size);
		if (pid < 0) result = -1;
		else m->sides[i] = pid;
	}
	for (size_t i = 0; i < config->side_count && result == 0; i++) result = wait_socket(m, i, deadline, why, why_size);
	if (result == 0) result = openings_open(config, why, why_size);
	if (result == 0) {
		pid_t pid = start(m->config.qemu, config, log_fd, m->tap_fd, why, why_size);
		if (pid < 0) result = -1;
		else m->status.qemu_pid = m->qemu = pid;
		openings_close(config->opening_count);
	}
	close(log_fd);
	return result;
}

void qemu_kill(struct machine *m)
{
	if (m->qemu <= 0) return;
	if (m->keeper_fd >= 0) {
		// It ends QEMU, and tells.
		shutdown(m->keeper_fd, SHUT_WR);
		return;
	}
	kill(-m->qemu, SIGKILL);
	kill(m->qemu, SIGKILL);
}

void sides_kill(struct machine *m)
{
	for (size_t i = 0; i < m->config.side_count; i++) {
		if (m->sides[i] <= 0) continue;
		kill(-m->sides[i], SIGKILL);
		kill(m->sides[i], SIGKILL);
	}
}

void children_reap(struct machine *m)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == m->qemu && m->keeper_fd < 0) {
			m->qemu = m->status.qemu_pid = 0;
			m->qemu_ended(m, status);
		}
		for (size_t i = 0; i < m->config.side_count; i++) {
			if (m->sides[i] != pid) continue;
			m->sides[i] = 0;
			if (m->side_lost_at == 0) m->side_lost_at = now_ms();
		}
		// Others are what a side process or QEMU left behind and we, as their subreaper, took over.
	}
}
