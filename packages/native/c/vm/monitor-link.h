// One end of a byte stream that carries frames of protocol.h, with bounded buffers both ways. It must not know what the frames mean.
#ifndef POUCH_MONITOR_LINK_H
#define POUCH_MONITOR_LINK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "protocol.h"

struct buffer {
	uint8_t *bytes;
	size_t start, length, capacity;
};

struct frame {
	uint8_t op;
	uint32_t id;
	uint32_t length;
	const uint8_t *payload; // valid until the next link_fill
};

struct link {
	int fd; // -1: closed
	struct buffer in, out;
	size_t out_max;                    // bytes that may wait to be sent
	uint32_t (*payload_max)(uint8_t op); // bytes of payload that are taken with this op; UINT32_MAX: no such op
};

void link_init(struct link *link, int fd, size_t out_max, uint32_t (*payload_max)(uint8_t op));
void link_close(struct link *link);

// Reads what is there, at most 64 KiB. 1: something came, 0: nothing for now, -1: the other end has closed (errno 0) or the read failed.
int link_fill(struct link *link);

// Takes the next whole frame. 1: `frame` is it, 0: not whole yet, -1: it breaks the protocol, in words in *why.
int link_next(struct link *link, struct frame *frame, const char **why);

// As link_next, but the frame stays.
int link_peek(struct link *link, struct frame *frame, const char **why);
void link_drop(struct link *link, const struct frame *frame);

// Queues one frame. -1: more than out_max would wait, or no memory; nothing was queued then.
int link_send(struct link *link, uint8_t op, uint32_t id, const void *payload, size_t length);
// As link_send, the payload in two parts.
int link_send_parts(struct link *link, uint8_t op, uint32_t id, const void *first, size_t first_length, const void *second, size_t second_length);
int link_send_bytes(struct link *link, const void *bytes, size_t length);

// Writes what the other end takes. -1: it is gone.
int link_flush(struct link *link);

// True when nothing useful can be added now without beyond-measure waiting: more than 512 KiB are queued.
bool link_is_full(const struct link *link);

int64_t now_ms(void); // of a clock that only goes forward

uint32_t get_u32(const uint8_t *at);
void put_u16(uint8_t *at, uint16_t value);
void put_u32(uint8_t *at, uint32_t value);
#endif
