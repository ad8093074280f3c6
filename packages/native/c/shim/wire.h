// Protocol Buffers on the wire (proto3): what containerd's messages need, no more. Lengths from outside are never trusted.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define FIELDS_MAX 16u /* the highest field number that any of our messages has, and one more */

// A message being written. It grows by itself; `failed` once there is no memory or it would exceed what ttrpc carries.
struct out {
	uint8_t *at;
	size_t length, size;
	bool failed;
};

void out_free(struct out *out);
void out_raw(struct out *out, const void *bytes, size_t length);
void out_number(struct out *out, unsigned field, uint64_t value);            // absent when 0, as proto3 has it
void out_bytes(struct out *out, unsigned field, const void *bytes, size_t length);
void out_text(struct out *out, unsigned field, const char *text);            // absent when empty or NULL
void out_message(struct out *out, unsigned field, struct out *inner);        // also when empty; frees `inner`
void out_time(struct out *out, unsigned field, const struct timespec *time); // google.protobuf.Timestamp; absent for {0, 0}
void out_any(struct out *out, unsigned field, const char *type, struct out *inner); // google.protobuf.Any; frees `inner`

// One field of a message: a number, or bytes inside the message that was read.
struct field {
	unsigned number;
	bool is_bytes;
	uint64_t value;
	const uint8_t *bytes;
	size_t length;
};

struct in {
	const uint8_t *at, *end;
	bool malformed;
};

struct in in_of(const void *bytes, size_t length);
bool in_next(struct in *in, struct field *field); // false at the end, or where it is malformed

// A whole message, the last occurrence of each field below FIELDS_MAX.
struct message {
	const uint8_t *bytes;
	size_t length;
	struct field fields[FIELDS_MAX];
};

bool message_read(struct message *message, const void *bytes, size_t length);
uint64_t message_number(const struct message *message, unsigned field);
bool message_text(const struct message *message, unsigned field, char *into, size_t size); // false: longer than `size`, or holds a NUL
bool message_inner(const struct message *message, unsigned field, struct message *inner);  // an absent one is empty
