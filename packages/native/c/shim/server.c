// The ttrpc server on the shim's socket. A frame: length (4 bytes, big endian), stream (4), type, flags, then the message.
// Whoever connects may send anything: a frame that is too long or makes no sense ends the connection, never the shim.
#define _GNU_SOURCE
#include "shim.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER 10u
#define MESSAGE_MAX (4u << 20)
#define CONNECTIONS_MAX 16u
#define REQUESTS_MAX 4096u       /* unanswered ones: waits, mostly */
#define UNSENT_MAX (8u << 20)    /* of a client that does not read */

enum { REQUEST = 1, RESPONSE = 2 };

struct connection {
	struct watch watch;
	struct out received;
	struct out unsent;
	size_t sent;
	struct request *requests;
};

static struct watch listener;
static unsigned connections, requests;
static struct connection *serving; /* NULL once it has hung up */

static uint32_t big_endian(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_big_endian(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void hang_up(struct connection *connection)
{
	if (serving == connection) serving = NULL;
	for (struct request *request = connection->requests; request != NULL; request = request->next_of_connection) request->connection = NULL;
	loop_forget(&connection->watch);
	close(connection->watch.fd);
	out_free(&connection->received);
	out_free(&connection->unsent);
	free(connection);
	connections--;
}

/* False: the connection is gone. */
static bool flush(struct connection *connection)
{
	struct out *unsent = &connection->unsent;
	while (connection->sent < unsent->length) {
		ssize_t done = send(connection->watch.fd, unsent->at + connection->sent, unsent->length - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (done < 0 && errno == EINTR) continue;
		if (done < 0 && errno == EAGAIN) {
			loop_change(&connection->watch, EPOLLIN | EPOLLOUT);
			return true;
		}
		if (done <= 0) {
			hang_up(connection);
			return false;
		}
		connection->sent += (size_t)done;
	}
	out_free(unsent);
	connection->sent = 0;
	loop_change(&connection->watch, EPOLLIN);
	return true;
}

static void finish(struct request *request, struct out *response)
{
	struct connection *connection = request->connection;
	if (connection != NULL) {
		struct request **at = &connection->requests;
		while (*at != request) at = &(*at)->next_of_connection;
		*at = request->next_of_connection;
		uint8_t header[HEADER] = { [8] = RESPONSE };
		put_big_endian(header, (uint32_t)response->length);
		put_big_endian(header + 4, request->stream);
		if (connection->unsent.length - connection->sent > UNSENT_MAX || response->failed) hang_up(connection);
		else {
			out_raw(&connection->unsent, header, sizeof header);
			out_raw(&connection->unsent, response->at, response->length);
			if (connection->unsent.failed) hang_up(connection);
			else flush(connection);
		}
	}
	out_free(response);
	free(request);
	requests--;
}

void request_answer(struct request *request, struct out *body)
{
	struct out response = { 0 }, empty = { 0 };
	out_message(&response, 2, body == NULL ? &empty : body);
	finish(request, &response);
}

void request_refuse(struct request *request, enum code code, const char *format, ...)
{
	char text[REASON_MAX];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	struct out response = { 0 }, status = { 0 };
	out_number(&status, 1, (uint64_t)code);
	out_text(&status, 2, text);
	out_message(&response, 1, &status);
	finish(request, &response);
}

/* The message of a frame is a ttrpc Request: service = 1, method = 2, payload = 3. */
static void serve(struct connection *connection, uint32_t stream, const uint8_t *bytes, size_t length)
{
	struct message call, message;
	char service[64], method[64];
	struct request *request = calloc(1, sizeof *request);
	if (request == NULL) give_up("no memory");
	request->connection = connection;
	request->stream = stream;
	request->next_of_connection = connection->requests;
	connection->requests = request;
	requests++;
	if (requests > REQUESTS_MAX) request_refuse(request, RESOURCE_EXHAUSTED, "%u requests wait for their answers: no more are taken", REQUESTS_MAX);
	else if (!message_read(&call, bytes, length) || !message_text(&call, 1, service, sizeof service) || !message_text(&call, 2, method, sizeof method))
		request_refuse(request, INVALID_ARGUMENT, "malformed request");
	else if (strcmp(service, "containerd.task.v2.Task") != 0) request_refuse(request, UNIMPLEMENTED, "service %s", service);
	else if (!message_inner(&call, 3, &message)) request_refuse(request, INVALID_ARGUMENT, "malformed request of %s", method);
	else task_call(request, method, &message);
}

static void receive(struct watch *watch, uint32_t events)
{
	struct connection *connection = (struct connection *)watch;
	uint8_t chunk[65536];
	if ((events & EPOLLOUT) != 0 && !flush(connection)) return;
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
	ssize_t got = recv(watch->fd, chunk, sizeof chunk, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (got <= 0) {
		hang_up(connection);
		return;
	}
	struct out frames = connection->received; /* taken out: serving a frame may end the connection */
	connection->received = (struct out){ 0 };
	out_raw(&frames, chunk, (size_t)got);
	serving = connection;
	size_t at = 0;
	while (!frames.failed && frames.length - at >= HEADER) {
		uint32_t length = big_endian(frames.at + at);
		if (length > MESSAGE_MAX) {
			frames.failed = true;
			break;
		}
		if (frames.length - at - HEADER < length) break;
		if (frames.at[at + 8] == REQUEST) serve(connection, big_endian(frames.at + at + 4), frames.at + at + HEADER, length);
		if (serving == NULL) { /* serving it ended the connection */
			out_free(&frames);
			return;
		}
		at += HEADER + length;
	}
	serving = NULL;
	if (frames.failed) hang_up(connection);
	else if (at < frames.length) out_raw(&connection->received, frames.at + at, frames.length - at);
	out_free(&frames);
}

static void take(struct watch *watch, uint32_t events)
{
	(void)events;
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t size = sizeof peer;
	if (fd < 0) return;
	bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
	struct connection *connection = known && connections < CONNECTIONS_MAX ? calloc(1, sizeof *connection) : NULL;
	if (connection == NULL) {
		close(fd);
		return;
	}
	connection->watch = (struct watch){ fd, receive };
	connections++;
	if (!loop_watch(&connection->watch, EPOLLIN)) hang_up(connection);
}

void server_open(int fd)
{
	listener = (struct watch){ fd, take };
	if (!loop_watch(&listener, EPOLLIN)) give_up("the socket cannot be watched");
}
