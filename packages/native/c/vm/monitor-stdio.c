// The relay of standard streams. It must not block on a consumer, must not read input it has no credit for, and must not lose output
// while a consumer lives.
#define _GNU_SOURCE
#include "monitor-stdio.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GIVE_BYTES (64u << 10)      // credit goes back in portions of this
#define CREDIT_MOST (64u << 20)     // a guest that gives more input credit than this means harm
#define READS_AT_ONCE 8

// How many bytes one write may have without blocking. A pipe or a terminal is opened anew so that O_NONBLOCK is ours alone: the description
// we inherited is shared with whoever started us.
static size_t prepare(int fd, bool *is_socket)
{
	struct stat about;
	if (fstat(fd, &about) < 0) return PIPE_BUF;
	*is_socket = S_ISSOCK(about.st_mode);
	if (S_ISREG(about.st_mode) || *is_socket) return VM_MAX_DATA * 2;
	if (!S_ISFIFO(about.st_mode) && !S_ISCHR(about.st_mode)) return PIPE_BUF;
	char path[32];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own < 0) return PIPE_BUF;
	dup2(own, fd);
	close(own);
	return VM_MAX_DATA * 2;
}

void stdio_init(struct stdio *io, struct link *link, bool tty, bool reads)
{
	*io = (struct stdio){ .link = link, .tty = tty, .reads = reads, .in_credit = VM_INITIAL_CREDIT };
	for (int i = 0; i < 2; i++) {
		// The pty's slave is nonblocking and ours already.
		io->outlets[i] = (struct outlet){ .fd = 1 + i, .window = VM_INITIAL_CREDIT };
		io->outlets[i].chunk = tty ? VM_MAX_DATA * 2 : prepare(1 + i, &io->outlets[i].is_socket);
	}
	// A terminal has one output.
	if (tty) io->outlets[1].eof = true;
}

void spawn_set_size(struct stdio *io, uint8_t *spawn, size_t length)
{
	uint16_t rows = 0, columns = 0;
	if (!io->tty) return;
	pty_size(&rows, &columns);
	for (size_t at = 0; length - at >= 8;) {
		size_t bytes = get_u32(spawn + at + 4);
		if (bytes > length - at - 8) return;
		if ((spawn[at] | spawn[at + 1] << 8) == VM_S_TTY && bytes >= 4) {
			uint8_t *size = spawn + at + 8;
			if (rows != 0 && columns != 0) {
				put_u16(size, rows);
				put_u16(size + 2, columns);
			}
			io->rows = (uint16_t)(size[0] | size[1] << 8);
			io->columns = (uint16_t)(size[2] | size[3] << 8);
		}
		at += 8 + bytes;
	}
}

static void send_words(struct stdio *io, uint8_t op, uint32_t first, uint32_t second)
{
	uint8_t payload[8];
	put_u32(payload, first);
	put_u32(payload + 4, second);
	// A link that cannot take twenty bytes beyond its bound is at its end; its owner sees that.
	link_send(io->link, op, io->id, payload, sizeof payload);
}

void stdio_resize(struct stdio *io)
{
	uint16_t rows = 0, columns = 0;
	if (!io->tty || !io->started) return;
	pty_size(&rows, &columns);
	if (rows == 0 || columns == 0 || (rows == io->rows && columns == io->columns)) return;
	uint8_t payload[4];
	put_u16(payload, rows);
	put_u16(payload + 2, columns);
	if (link_send(io->link, VM_WINSIZE, io->id, payload, sizeof payload) < 0) return;
	io->rows = rows;
	io->columns = columns;
}

void stdio_start(struct stdio *io)
{
	io->started = true;
	stdio_resize(io);
}

static void close_input(struct stdio *io)
{
	if (io->in_closed || link_send(io->link, VM_STDIN_CLOSE, io->id, NULL, 0) < 0) return;
	io->in_closed = true;
}

static void read_input(struct stdio *io, short events)
{
	uint8_t bytes[VM_MAX_DATA];
	for (int i = 0; i < READS_AT_ONCE && io->in_credit > 0 && !link_is_full(io->link); i++) {
		ssize_t got = read(0, bytes, io->in_credit < sizeof bytes ? io->in_credit : sizeof bytes);
		if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
		if (got <= 0) {
			// The terminal's other end has gone: the process is told as a kernel would.
			if (io->tty) send_words(io, VM_SIGNAL, SIGHUP, 0);
			close_input(io);
			return;
		}
		if (link_send(io->link, VM_STDIN, io->id, bytes, (size_t)got) < 0) return;
		io->in_credit -= (uint32_t)got;
		// An inherited description may block: one read for each time poll says so.
		if (!io->tty) return;
	}
	(void)events;
}

static void give(struct stdio *io, int stream)
{
	struct outlet *out = &io->outlets[stream - 1];
	bool due = out->consumed >= GIVE_BYTES || (out->consumed > 0 && out->window < GIVE_BYTES);
	if (!due || out->eof || !io->started || link_is_full(io->link)) return;
	send_words(io, VM_CREDIT, (uint32_t)stream, out->consumed);
	out->window += out->consumed;
	out->consumed = 0;
}

void stdio_give_credit(struct stdio *io)
{
	give(io, 1);
	give(io, 2);
}

// Writes what the consumer takes of `bytes`; returns how many are done with.
static size_t write_some(struct stdio *io, struct outlet *out, const uint8_t *bytes, size_t length)
{
	size_t done = 0;
	while (done < length && !out->broken) {
		size_t part = length - done < out->chunk ? length - done : out->chunk;
		ssize_t sent = out->is_socket ? send(out->fd, bytes + done, part, MSG_DONTWAIT | MSG_NOSIGNAL) : write(out->fd, bytes + done, part);
		if (sent < 0 && errno == EINTR) continue;
		if (sent < 0 && errno == EAGAIN) break;
		if (sent < 0) out->broken = true;
		else done += (size_t)sent;
		// A small chunk is of an fd that may block: poll has promised this one only.
		if (out->chunk == PIPE_BUF) break;
	}
	if (out->broken) done = length;
	if (done > 0) io->moved_at = now_ms();
	out->consumed += (uint32_t)done;
	return done;
}

static const char *output(struct stdio *io, int stream, const uint8_t *bytes, size_t length)
{
	struct outlet *out = &io->outlets[stream - 1];
	if (out->eof) return length == 0 ? NULL : "output after its end";
	if (length > out->window) return "output beyond its credit";
	out->window -= (uint32_t)length;
	if (out->length == 0 && out->chunk > PIPE_BUF) {
		size_t done = write_some(io, out, bytes, length);
		bytes += done;
		length -= done;
	}
	if (length > 0 && out->ring == NULL && (out->ring = malloc(VM_INITIAL_CREDIT)) == NULL) return "no memory";
	// The window is never larger than the ring has room: what is not taken is not given back.
	while (length > 0) {
		size_t end = (out->start + out->length) % VM_INITIAL_CREDIT;
		size_t part = VM_INITIAL_CREDIT - end < length ? VM_INITIAL_CREDIT - end : length;
		memcpy(out->ring + end, bytes, part);
		out->length += part;
		bytes += part;
		length -= part;
	}
	give(io, stream);
	return NULL;
}

const char *stdio_frame(struct stdio *io, const struct frame *frame)
{
	uint32_t stream = frame->op == VM_STDOUT ? 1 : frame->op == VM_STDERR ? 2 : get_u32(frame->payload);
	switch (frame->op) {
	case VM_STDOUT:
	case VM_STDERR:
		return output(io, (int)stream, frame->payload, frame->length);
	case VM_EOF:
		if (stream != 1 && stream != 2) return "an end of a stream that there is not";
		io->outlets[stream - 1].eof = true;
		return NULL;
	case VM_CREDIT: {
		uint32_t bytes = get_u32(frame->payload + 4);
		if (stream != 0) return "credit for a stream that it sends itself";
		if (bytes > CREDIT_MOST || io->in_credit + bytes > CREDIT_MOST) return "more credit than there can be";
		io->in_credit += bytes;
		return NULL;
	}
	default:
		return "an operation that is not of a stream";
	}
}

void stdio_poll(const struct stdio *io, struct pollfd fds[3])
{
	bool reads = io->reads && io->started && !io->in_closed && io->in_credit > 0 && !link_is_full(io->link);
	fds[0] = (struct pollfd){ reads ? 0 : -1, POLLIN, 0 };
	for (int i = 0; i < 2; i++) fds[1 + i] = (struct pollfd){ io->outlets[i].length > 0 ? io->outlets[i].fd : -1, POLLOUT, 0 };
}

void stdio_handle(struct stdio *io, const struct pollfd fds[3])
{
	if (fds[0].fd >= 0 && fds[0].revents != 0) read_input(io, fds[0].revents);
	for (int i = 0; i < 2; i++) {
		struct outlet *out = &io->outlets[i];
		if (fds[1 + i].fd < 0 || fds[1 + i].revents == 0) continue;
		for (int parts = 0; parts < 2 && out->length > 0; parts++) {
			size_t part = VM_INITIAL_CREDIT - out->start < out->length ? VM_INITIAL_CREDIT - out->start : out->length;
			size_t done = write_some(io, out, out->ring + out->start, part);
			out->start = (out->start + done) % VM_INITIAL_CREDIT;
			out->length -= done;
			if (done < part || out->chunk == PIPE_BUF) break;
		}
		if (out->length == 0) out->start = 0;
	}
	stdio_give_credit(io);
}

bool stdio_is_drained(const struct stdio *io)
{
	return io->outlets[0].length == 0 && io->outlets[1].length == 0;
}

bool stdio_at_eof(const struct stdio *io)
{
	return io->outlets[0].eof && io->outlets[1].eof;
}

void stdio_end(struct stdio *io)
{
	io->started = false;
	for (int i = 0; i < 2; i++) io->outlets[i].eof = true;
}
