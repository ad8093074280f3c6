// Reading and writing Protocol Buffers. It knows no message of anybody.
#include "wire.h"
#include <stdlib.h>
#include <string.h>

#define OUT_MAX (16u << 20) /* more than any frame and what may wait behind it */

enum { VARINT = 0, FIXED64 = 1, LENGTH_DELIMITED = 2, FIXED32 = 5 };

void out_free(struct out *out)
{
	free(out->at);
	*out = (struct out){ 0 };
}

void out_raw(struct out *out, const void *bytes, size_t length)
{
	if (out->failed || length == 0) return;
	if (length > OUT_MAX - out->length) {
		out->failed = true;
		return;
	}
	if (out->length + length > out->size) {
		size_t size = out->size == 0 ? 256 : out->size;
		while (size < out->length + length) size *= 2;
		uint8_t *grown = realloc(out->at, size);
		if (grown == NULL) {
			out->failed = true;
			return;
		}
		out->at = grown;
		out->size = size;
	}
	memcpy(out->at + out->length, bytes, length);
	out->length += length;
}

static void varint(struct out *out, uint64_t value)
{
	uint8_t bytes[10];
	size_t length = 0;
	do {
		bytes[length++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
		value >>= 7;
	} while (value != 0);
	out_raw(out, bytes, length);
}

void out_number(struct out *out, unsigned field, uint64_t value)
{
	if (value == 0) return;
	varint(out, field << 3 | VARINT);
	varint(out, value);
}

void out_bytes(struct out *out, unsigned field, const void *bytes, size_t length)
{
	varint(out, field << 3 | LENGTH_DELIMITED);
	varint(out, length);
	out_raw(out, bytes, length);
}

void out_text(struct out *out, unsigned field, const char *text)
{
	if (text != NULL && text[0] != '\0') out_bytes(out, field, text, strlen(text));
}

void out_message(struct out *out, unsigned field, struct out *inner)
{
	if (inner->failed) out->failed = true;
	out_bytes(out, field, inner->at, inner->length);
	out_free(inner);
}

void out_time(struct out *out, unsigned field, const struct timespec *time)
{
	if (time->tv_sec == 0 && time->tv_nsec == 0) return;
	struct out inner = { 0 };
	out_number(&inner, 1, (uint64_t)time->tv_sec);
	out_number(&inner, 2, (uint64_t)time->tv_nsec);
	out_message(out, field, &inner);
}

void out_any(struct out *out, unsigned field, const char *type, struct out *inner)
{
	struct out any = { 0 };
	if (inner->failed) any.failed = true;
	out_text(&any, 1, type);
	out_bytes(&any, 2, inner->at, inner->length);
	out_free(inner);
	out_message(out, field, &any);
}

struct in in_of(const void *bytes, size_t length)
{
	const uint8_t *at = bytes;
	return (struct in){ at, at == NULL ? at : at + length, false };
}

static bool read_varint(struct in *in, uint64_t *value)
{
	*value = 0;
	for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
		uint8_t byte = *in->at++;
		*value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) return true;
	}
	in->malformed = true;
	return false;
}

static bool skip_fixed(struct in *in, struct field *field, size_t length)
{
	if ((size_t)(in->end - in->at) < length) {
		in->malformed = true;
		return false;
	}
	field->is_bytes = true;
	field->bytes = in->at;
	field->length = length;
	in->at += length;
	return true;
}

bool in_next(struct in *in, struct field *field)
{
	uint64_t key, length;
	*field = (struct field){ 0 };
	if (in->malformed || in->at == in->end || !read_varint(in, &key)) return false;
	if (key >> 3 == 0 || key >> 3 > UINT32_MAX >> 3) {
		in->malformed = true;
		return false;
	}
	field->number = (unsigned)(key >> 3);
	switch (key & 7) {
	case VARINT:
		return read_varint(in, &field->value);
	case FIXED64:
		return skip_fixed(in, field, 8);
	case FIXED32:
		return skip_fixed(in, field, 4);
	case LENGTH_DELIMITED:
		if (!read_varint(in, &length)) return false;
		if (length > (size_t)(in->end - in->at)) {
			in->malformed = true;
			return false;
		}
		return skip_fixed(in, field, (size_t)length);
	default:
		in->malformed = true;
		return false;
	}
}

bool message_read(struct message *message, const void *bytes, size_t length)
{
	struct in in = in_of(bytes, length);
	struct field field;
	*message = (struct message){ .bytes = bytes, .length = length };
	while (in_next(&in, &field))
		if (field.number < FIELDS_MAX) message->fields[field.number] = field;
	return !in.malformed;
}

uint64_t message_number(const struct message *message, unsigned field)
{
	return message->fields[field].value;
}

bool message_text(const struct message *message, unsigned field, char *into, size_t size)
{
	const struct field *found = &message->fields[field];
	into[0] = '\0';
	if (found->length >= size || (found->length > 0 && memchr(found->bytes, '\0', found->length) != NULL)) return false;
	if (found->length > 0) memcpy(into, found->bytes, found->length);
	into[found->length] = '\0';
	return true;
}

bool message_inner(const struct message *message, unsigned field, struct message *inner)
{
	return message_read(inner, message->fields[field].bytes, message->fields[field].length);
}
