// A machine whose QEMU a keeper has had ready: the claim, and word of QEMU's end. It must not signal that QEMU itself, which is not our child.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "monitor.h"

#define ANSWER_MS 5000

static int connect_keeper(const char *path, pid_t *pid)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t length = sizeof peer;
	int fd = strlen(path) < sizeof address.sun_path ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : (errno = ENAMETOOLONG, -1);
	if (fd < 0) return -1;
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0) {
		*pid = peer.pid;
		if (peer.uid == geteuid()) return fd;
		errno = EPERM;
	}
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int ask(int fd, int netns, struct keeper_message *answer)
{
	struct keeper_message claim = { KEEPER_CLAIM, 0 };
	union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct iovec part = { &claim, sizeof claim };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	if (netns >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &netns, sizeof netns);
	}
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) return -1;
	struct pollfd one = { fd, POLLIN, 0 };
	if (poll(&one, 1, ANSWER_MS) <= 0) return errno = ETIMEDOUT, -1;
	if (recv(fd, answer, sizeof *answer, 0) != (ssize_t)sizeof *answer) return errno = ECONNRESET, -1;
	if (answer->word == KEEPER_CLAIMED) return 0;
	errno = answer->word == KEEPER_REFUSED ? (int)answer->value : ECONNRESET;
	return -1;
}

int keeper_claim(struct machine *m, int netns, char *why, size_t why_size)
{
	const struct config *config = &m->config;
	struct keeper_message answer = { 0, 0 };
	pid_t keeper = 0;
	m->keeper_fd = connect_keeper(config->keeper, &keeper);
	if (m->keeper_fd < 0 || ask(m->keeper_fd, config->tap == NULL ? -1 : netns, &answer) < 0) {
		snprintf(why, why_size, "keeper %s: %s", config->keeper, strerror(errno));
		return -1;
	}
	m->status.qemu_pid = m->qemu = (pid_t)answer.value;
	m->tap_pending = config->tap != NULL;
	return cgroups_move(config, m->qemu, why, why_size) < 0 || cgroups_move(config, keeper, why, why_size) < 0 ? -1 : 0;
}

static void tap_moved(struct machine *m, int error)
{
	char why[REASON_MAX];
	if (!m->tap_pending) return;
	if (error != 0) snprintf(why, sizeof why, "network: %s: %s", m->config.tap, strerror(error));
	if (error != 0 || tap_wire(&m->config, why, sizeof why) < 0) {
		machine_kill(m, 255, why);
		return;
	}
	m->tap_pending = false;
	machine_start_waiting(m);
}

void qemu_left(struct machine *m)
{
	if (m->qemu <= 0) return;
	m->qemu = m->status.qemu_pid = 0;
	machine_qemu_ended(m, 0);
}

void keeper_read(struct machine *m)
{
	struct keeper_message told;
	ssize_t got = recv(m->keeper_fd, &told, sizeof told, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (got == (ssize_t)sizeof told && (told.word == KEEPER_MOVED || told.word == KEEPER_REFUSED)) {
		tap_moved(m, told.word == KEEPER_MOVED ? 0 : (int)told.value);
		return;
	}
	// A keeper that ended without a word was killed, and its QEMU with it.
	int status = got == (ssize_t)sizeof told && told.word == KEEPER_ENDED ? (int)told.value : SIGKILL;
	m->qemu = m->status.qemu_pid = 0;
	machine_qemu_ended(m, status);
}
