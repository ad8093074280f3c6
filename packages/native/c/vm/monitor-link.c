// Frames over a nonblocking socket. It must not block, and must not keep more bytes than its bounds say.
#define _GNU_SOURCE
#include "monitor-link.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (64u << 10)
#define KEEP_BYTES (256u << 10) // an empty buffer larger than this is given back
#define FULL_BYTES (512u << 10)

int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void put_u16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

void put_u32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

// Room for `more` bytes behind what is there.
static int reserve(struct buffer *buffer, size_t more)
{
	if (buffer->start + buffer->length + more <= buffer->capacity) return 0;
	if (buffer->length + more <= buffer->capacity) {
		memmove(buffer->bytes, buffer->bytes + buffer->start, buffer->length);
		buffer->start = 0;
		return 0;
	}
	size_t capacity = buffer->capacity < 4096 ? 4096 : buffer->capacity;
	while (capacity < buffer->length + more) capacity *= 2;
	uint8_t *bytes = malloc(capacity);
	if (bytes == NULL) return -1;
	if (buffer->length > 0) memcpy(bytes, buffer->bytes + buffer->start, buffer->length);
	free(buffer->bytes);
	*buffer = (struct buffer){ bytes, 0, buffer->length, capacity };
	return 0;
}

static void consume(struct buffer *buffer, size_t length)
{
	buffer->start += length;
	buffer->length -= length;
	if (buffer->length > 0) return;
	buffer->start = 0;
	if (buffer->capacity <= KEEP_BYTES) return;
	free(buffer->bytes);
	*buffer = (struct buffer){ 0 };
}

void link_init(struct link *link, int fd, size_t out_max, uint32_t (*payload_max)(uint8_t op))
{
	*link = (struct link){ .fd = fd, .out_max = out_max, .payload_max = payload_max };
}

void link_close(struct link *link)
{
	if (link->fd >= 0) close(link->fd);
	free(link->in.bytes);
	free(link->out.bytes);
	link_init(link, -1, link->out_max, link->payload_max);
}

int link_fill(struct link *link)
{
	// The largest frame is under way in full before it is taken: header and payload, and one more read beside it.
	if (link->in.length > VM_MAX_PAYLOAD + VM_HEADER_BYTES) return 0;
	if (link->in.length == 0) consume(&link->in, 0);
	if (reserve(&link->in, READ_BYTES) < 0) return -1;
	ssize_t got = read(link->fd, link->in.bytes + link->in.start + link->in.length, READ_BYTES);
	if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (got == 0) {
		errno = 0;
		return -1;
	}
	link->in.length += (size_t)got;
	return 1;
}

int link_peek(struct link *link, struct frame *frame, const char **why)
{
	if (link->in.length < VM_HEADER_BYTES) return 0;
	const uint8_t *at = link->in.bytes + link->in.start;
	uint32_t length = get_u32(at), most = link->payload_max(at[4]);
	*why = NULL;
	if (at[5] != 0 || at[6] != 0 || at[7] != 0) *why = "a header's zeros are not zero";
	else if (most == UINT32_MAX) *why = "an operation that it may not send";
	else if (length > most) *why = "a frame longer than its maximum";
	if (*why != NULL) return -1;
	if (link->in.length - VM_HEADER_BYTES < length) return 0;
	*frame = (struct frame){ at[4], get_u32(at + 8), length, at + VM_HEADER_BYTES };
	return 1;
}

void link_drop(struct link *link, const struct frame *frame)
{
	link->in.start += VM_HEADER_BYTES + frame->length;
	link->in.length -= VM_HEADER_BYTES + frame->length;
	// The bytes stay where they are until the next fill: the frame's payload is still looked at.
	if (link->in.length == 0) link->in.start = 0;
}

int link_next(struct link *link, struct frame *frame, const char **why)
{
	int found = link_peek(link, frame, why);
	if (found == 1) link_drop(link, frame);
	return found;
}

int link_send_bytes(struct link *link, const void *bytes, size_t length)
{
	if (link->fd < 0 || link->out.length + length > link->out_max || reserve(&link->out, length) < 0) return -1;
	memcpy(link->out.bytes + link->out.start + link->out.length, bytes, length);
	link->out.length += length;
	return 0;
}

int link_send_parts(struct link *link, uint8_t op, uint32_t id, const void *first, size_t first_length, const void *second, size_t second_length)
{
	uint8_t header[VM_HEADER_BYTES] = { 0 };
	size_t length = first_length + second_length;
	if (link->fd < 0 || link->out.length + sizeof header + length > link->out_max || reserve(&link->out, sizeof header + length) < 0) return -1;
	put_u32(header, (uint32_t)length);
	header[4] = op;
	put_u32(header + 8, id);
	uint8_t *to = link->out.bytes + link->out.start + link->out.length;
	memcpy(to, header, sizeof header);
	if (first_length > 0) memcpy(to + sizeof header, first, first_length);
	if (second_length > 0) memcpy(to + sizeof header + first_length, second, second_length);
	link->out.length += sizeof header + length;
	return 0;
}

int link_send(struct link *link, uint8_t op, uint32_t id, const void *payload, size_t length)
{
	return link_send_parts(link, op, id, payload, length, NULL, 0);
}

int link_flush(struct link *link)
{
	while (link->out.length > 0) {
		ssize_t sent = send(link->fd, link->out.bytes + link->out.start, link->out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EINTR) continue;
		if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
		consume(&link->out, (size_t)sent);
	}
	return 0;
}

bool link_is_full(const struct link *link)
{
	return link->out.length > FULL_BYTES;
}
