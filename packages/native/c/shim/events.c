// Events on their way to containerd (containerd.services.events.ttrpc.v1.Events/Forward). What has not been acknowledged is sent again on a
// new connection, so an event may come twice, as from every shim; while containerd is away they are kept, up to a number.
#define _GNU_SOURCE
#include "shim.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define KEPT_MAX 1024u     /* the oldest goes */
#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 3000
#define FLUSH_MS 2000      /* less than containerd waits for a shim to end */
#define ANSWER_MAX 65536u

struct event {
	struct event *next;
	uint32_t stream; /* 0: not sent on this connection */
	struct out request;
};

static struct event *first;
static unsigned kept;
static struct watch connection = { .fd = -1 };
static struct out unsent, received;
static uint32_t next_stream;
static int64_t retry_ms = RETRY_FIRST_MS;
static struct timer retry, flushing;
static void (*after_flush)(void);

static void drop(struct event **at)
{
	struct event *event = *at;
	*at = event->next;
	out_free(&event->request);
	free(event);
	kept--;
}

static void flushed(struct timer *timer)
{
	(void)timer;
	if (after_flush != NULL) after_flush();
}

static void disconnect(void)
{
	if (connection.fd >= 0) {
		loop_forget(&connection);
		close(connection.fd);
	}
	connection.fd = -1;
	out_free(&unsent);
	out_free(&received);
	for (struct event *event = first; event != NULL; event = event->next) event->stream = 0;
	if (first == NULL) return;
	timer_set(&retry, retry_ms);
	retry_ms = retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : retry_ms * 2;
}

static void push(void)
{
	while (unsent.length > 0) {
		ssize_t done = send(connection.fd, unsent.at, unsent.length, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (done < 0 && errno == EINTR) continue;
		if (done < 0 && errno == EAGAIN) {
			loop_change(&connection, EPOLLIN | EPOLLOUT);
			return;
		}
		if (done <= 0) {
			disconnect();
			return;
		}
		memmove(unsent.at, unsent.at + done, unsent.length - (size_t)done);
		unsent.length -= (size_t)done;
	}
	loop_change(&connection, EPOLLIN);
}

/* One at a time: containerd serves the requests of a connection side by side, and an end was seen before its start. */
static void send_next(void)
{
	if (first == NULL || first->stream != 0) return;
	first->stream = next_stream;
	next_stream += 2;
	uint8_t header[10] = { [8] = 1 };
	uint32_t length = (uint32_t)first->request.length;
	for (unsigned i = 0; i < 4; i++) {
		header[i] = (uint8_t)(length >> (24 - 8 * i));
		header[4 + i] = (uint8_t)(first->stream >> (24 - 8 * i));
	}
	out_raw(&unsent, header, sizeof header);
	out_raw(&unsent, first->request.at, first->request.length);
	if (unsent.failed) disconnect();
	else push();
}

/* containerd has taken or refused it: either way it has had it. */
static void acknowledged(uint32_t stream)
{
	for (struct event **at = &first; *at != NULL; at = &(*at)->next) {
		if ((*at)->stream != stream) continue;
		drop(at);
		break;
	}
	retry_ms = RETRY_FIRST_MS;
	if (first == NULL && after_flush != NULL) timer_set(&flushing, 0);
}

static void ready(struct watch *watch, uint32_t events)
{
	uint8_t chunk[4096];
	if ((events & EPOLLOUT) != 0) push();
	if (connection.fd < 0 || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
	ssize_t got = recv(watch->fd, chunk, sizeof chunk, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (got <= 0) {
		disconnect();
		return;
	}
	out_raw(&received, chunk, (size_t)got);
	size_t at = 0;
	while (received.length - at >= 10) {
		const uint8_t *head = received.at + at;
		uint32_t length = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
		if (length > ANSWER_MAX) {
			disconnect();
			return;
		}
		if (received.length - at - 10 < length) break;
		acknowledged((uint32_t)head[4] << 24 | (uint32_t)head[5] << 16 | (uint32_t)head[6] << 8 | head[7]);
		at += 10 + length;
	}
	memmove(received.at, received.at + at, received.length - at);
	received.length -= at;
	send_next();
}

static void connect_now(struct timer *timer)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = strncmp(shim.events_address, "unix://", 7) == 0 ? shim.events_address + 7 : shim.events_address;
	(void)timer;
	if (first == NULL || connection.fd >= 0) return;
	if (strlen(path) >= sizeof address.sun_path) {
		say("the address of containerd's events is too long: %s", path);
		while (first != NULL) drop(&first);
		return;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	connection = (struct watch){ socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), ready };
	next_stream = 1;
	if (connection.fd < 0 || connect(connection.fd, (struct sockaddr *)&address, sizeof address) != 0 || !loop_watch(&connection, EPOLLIN)) {
		disconnect();
		return;
	}
	send_next();
}

void event_tell(const char *topic, const char *type, struct out *body)
{
	char url[128];
	struct event *event = calloc(1, sizeof *event), **last = &first;
	struct out envelope = { 0 }, payload = { 0 };
	struct timespec now;
	if (event == NULL) give_up("no memory");
	snprintf(url, sizeof url, "containerd.events.%s", type);
	clock_gettime(CLOCK_REALTIME, &now);
	out_time(&envelope, 1, &now);
	out_text(&envelope, 2, shim.namespace);
	out_text(&envelope, 3, topic);
	out_any(&envelope, 4, url, body);
	out_message(&payload, 1, &envelope);
	out_text(&event->request, 1, "containerd.services.events.ttrpc.v1.Events");
	out_text(&event->request, 2, "Forward");
	out_message(&event->request, 3, &payload);
	if (kept == KEPT_MAX) {
		say("containerd is away: the oldest of %u events is dropped", KEPT_MAX);
		drop(&first);
	}
	while (*last != NULL) last = &(*last)->next;
	*last = event;
	kept++;
	if (connection.fd >= 0) send_next();
	else if (!retry.set) {
		retry.fire = connect_now;
		connect_now(&retry);
	}
}

void events_flush(void (*then)(void))
{
	after_flush = then;
	flushing.fire = flushed;
	timer_set(&flushing, first == NULL ? 0 : FLUSH_MS);
}
