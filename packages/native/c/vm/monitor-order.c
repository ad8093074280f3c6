// The order of a ready exec (../order.h): taken from the engine's socket, handed to the guest as EXECUTE. It must not answer for the guest.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../order.h"
#include "monitor.h"

struct records {
	uint8_t *bytes; // VM_MAX_DATA
	size_t length;
};

static bool put(struct records *to, uint16_t tag, const char *text)
{
	size_t length = strlen(text);
	uint8_t *at = to->bytes + to->length;
	if (length + 8 > VM_MAX_DATA - to->length) return false;
	memset(at, 0, 8);
	put_u16(at, tag);
	put_u32(at + 4, (uint32_t)length);
	memcpy(at + 8, text, length);
	to->length += 8 + length;
	return true;
}

static bool convert(const struct order *order, char *text, struct records *to)
{
	char *at = text, *end = text + order->length;
	if (order->length == 0 || end[-1] != '\0' || at[0] != '/' || order->arguments == 0 || !put(to, VM_S_CWD, at)) return false;
	at += strlen(at) + 1;
	for (uint64_t i = 0; i < (uint64_t)order->arguments + order->variables; i++, at += strlen(at) + 1)
		if (at >= end || !put(to, i < order->arguments ? VM_S_ARG : VM_S_ENV, at)) return false;
	return at == end;
}

static bool take_streams(const struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int streams[3];
	if (header == NULL || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof streams)) return false;
	memcpy(streams, CMSG_DATA(header), sizeof streams);
	bool taken = true;
	// They are above 2: those are open.
	for (int i = 0; i < 3; i++) {
		taken = taken && dup2(streams[i], i) == i;
		close(streams[i]);
	}
	return taken;
}

int order_take(int socket, uint8_t *records, size_t *length)
{
	static char text[ORDER_TEXT_MAX];
	union { char room[CMSG_SPACE(sizeof(int[3]))]; struct cmsghdr aligned; } control;
	struct order order;
	struct iovec parts[2] = { { &order, sizeof order }, { text, sizeof text } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control };
	struct records to = { records, 0 };
	ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
	if (got <= 0) return -1;
	bool streams = take_streams(&message);
	if (!streams || (size_t)got < sizeof order || (size_t)got - sizeof order != order.length || !convert(&order, text, &to)) return -1;
	*length = to.length;
	return 1;
}

void order_answer(int *socket, bool runs)
{
	char word = runs ? ORDER_GOES : ORDER_FAILED;
	if (*socket < 0) return;
	(void)send(*socket, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(*socket);
	*socket = -1;
}
