// The keeper role: the owner of a machine that waits, paused, to be some container's. It starts QEMU and ends with it; the first connection to
// its socket is the claim, and QEMU lives for as long as that is open. It knows nothing of the guest and never speaks to QEMU.
//
//   socket PATH            listens (0600): monitor.h, enum keeper_word
//   directory PATH         the member's own. Whoever renames it has the member; until it is whole it is PATH.new
//   owned FILE             goes with a member that nobody claimed; a claim takes it away first
//   idle-ms N              a member that nobody has claimed by then ends: PATH becomes PATH.gone and is removed
//   tap NAME               made in a network namespace of the keeper's own, which holds nothing else, and moved to the container's at the claim
//   qemu-arg, open, uid, gid, cgroup, qemu-log, ready-fd   as for a machine
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "monitor.h"
#include "monitor-tree.h"

#define FAILED 255
#define CLAIM_MS 10000 // between the renaming and the claim

static struct machine keeper;
static int claim = -1;
static int wait_status;

static void qemu_ended(struct machine *m, int status)
{
	(void)m;
	wait_status = status;
}

static void say(uint32_t word, uint32_t value)
{
	struct keeper_message message = { word, value };
	(void)send(claim, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = strlen(path) < sizeof address.sun_path ? socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : (errno = ENAMETOOLONG, -1);
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	mode_t mask = umask(0177);
	int result = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0 ? fd : -1;
	umask(mask);
	return result;
}

static int prepare(char *why, size_t why_size)
{
	const struct config *config = &keeper.config;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (cgroups_join(config, why, why_size) < 0) return -1;
	// Nothing to reach, and nothing that reaches it, until it is claimed.
	if (unshare(CLONE_NEWNET) < 0) {
		snprintf(why, why_size, "a network namespace of its own: %s", strerror(errno));
		return -1;
	}
	if ((keeper.listen_fd = listen_at(config->socket)) < 0) {
		snprintf(why, why_size, "socket %s: %s", config->socket, strerror(errno));
		return -1;
	}
	if (config->tap != NULL && (keeper.tap_fd = tap_open(config, why, why_size)) < 0) return -1;
	int result = qemu_start(&keeper, why, why_size);
	if (keeper.tap_fd >= 0) close(keeper.tap_fd); // the tap ends with QEMU
	return result;
}

// Takes the member for itself, so that nobody claims it any more. False: somebody has.
static bool withdraw(char gone[PATH_MAX])
{
	char unfinished[PATH_MAX];
	const char *directory = keeper.config.directory;
	if (snprintf(gone, PATH_MAX, "%s.gone", directory) >= PATH_MAX || snprintf(unfinished, sizeof unfinished, "%s.new", directory) >= PATH_MAX) return false;
	return rename(directory, gone) == 0 || rename(unfinished, gone) == 0;
}

static void accept_claim(void)
{
	struct ucred peer;
	socklen_t length = sizeof peer;
	int fd = accept4(keeper.listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || peer.uid != geteuid()) {
		close(fd);
		return;
	}
	claim = fd;
	close(keeper.listen_fd);
	keeper.listen_fd = -1;
}

// False: the one who claimed has gone, or wants its end.
static bool hear_claim(void)
{
	struct keeper_message message;
	union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec part = { &message, sizeof message };
	struct msghdr head = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
	ssize_t got = recvmsg(claim, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
	if (got != (ssize_t)sizeof message || message.word != KEEPER_CLAIM) return false;
	int netns = -1, error = 0;
	struct cmsghdr *given = CMSG_FIRSTHDR(&head);
	if (given != NULL && given->cmsg_level == SOL_SOCKET && given->cmsg_type == SCM_RIGHTS && given->cmsg_len == CMSG_LEN(sizeof(int))) memcpy(&netns, CMSG_DATA(given), sizeof netns);
	// The tap follows: its move takes the kernel longer than the guest needs to be greeted.
	say(KEEPER_CLAIMED, (uint32_t)keeper.qemu);
	if (keeper.config.tap != NULL && (netns < 0 || tap_move(&keeper.config, netns) < 0)) error = netns < 0 ? EINVAL : errno;
	if (netns >= 0) close(netns);
	if (error != 0) say(KEEPER_REFUSED, (uint32_t)error);
	else if (keeper.config.tap != NULL) say(KEEPER_MOVED, 0);
	return true;
}

static void serve(void)
{
	char gone[PATH_MAX] = "";
	int64_t deadline = now_ms() + keeper.config.idle_ms;
	bool late = false;
	while (keeper.qemu > 0) {
		struct pollfd fds[] = { { keeper.signal_fd, POLLIN, 0 }, { claim >= 0 ? claim : keeper.listen_fd, POLLIN, 0 } };
		int64_t left = deadline - now_ms();
		if (poll(fds, 2, claim >= 0 ? -1 : left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left) < 0 && errno != EINTR) break;
		struct signalfd_siginfo info;
		while (read(keeper.signal_fd, &info, sizeof info) == (ssize_t)sizeof info) children_reap(&keeper);
		if (fds[1].revents != 0 && claim < 0) accept_claim();
		else if (fds[1].revents != 0 && !hear_claim()) break;
		if (claim >= 0 || now_ms() < deadline) continue;
		if (late || withdraw(gone)) break;
		late = true; // it was renamed a moment ago: the claim follows, or the one who wanted it is no more
		deadline = now_ms() + CLAIM_MS;
	}
	if (keeper.qemu <= 0 && claim < 0) (void)withdraw(gone);
	for (int i = 0; i < 200 && keeper.qemu > 0; i++) {
		qemu_kill(&keeper);
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		children_reap(&keeper);
	}
	if (claim >= 0) say(KEEPER_ENDED, (uint32_t)wait_status);
	if (gone[0] != '\0') (void)tree_remove(AT_FDCWD, gone);
	if (keeper.config.owned != NULL) unlink(keeper.config.owned);
}

int keeper_run(const struct config *config)
{
	char why[REASON_MAX] = "signals", pid[16];
	keeper = (struct machine){ .config = *config, .listen_fd = -1, .tap_fd = -1, .keeper_fd = -1, .qemu_ended = qemu_ended };
	keeper.signal_fd = signals_open(false);
	int result = keeper.signal_fd < 0 ? -1 : prepare(why, sizeof why);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	ready_tell(&keeper.config.ready_fd, result < 0 ? "error" : "ok", result < 0 ? why : pid);
	if (result == 0) serve();
	return result < 0 ? FAILED : 0;
}
