// A reader of JSON (RFC 8259). json.h says what it refuses.
#define _GNU_SOURCE
#include "json.h"
#include <stdlib.h>
#include <string.h>
#include "monitor-status.h"

#define DEPTH_MAX 32
#define VALUES_MAX 65536u

struct reader {
	struct json *json;
	char *at, *end;
};

static void space(struct reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static int add(struct reader *r, enum json_kind kind, const char *text)
{
	struct json *json = r->json;
	if (json->count == json->capacity) {
		size_t capacity = json->capacity == 0 ? 256 : json->capacity * 2;
		struct json_value *values = capacity > VALUES_MAX ? NULL : realloc(json->values, capacity * sizeof *values);
		if (values == NULL) return -1;
		json->values = values;
		json->capacity = capacity;
	}
	json->values[json->count++] = (struct json_value){ .kind = kind, .text = text, .next = json->count };
	return 0;
}

static int hex(const char *at, uint32_t *into)
{
	*into = 0;
	for (int i = 0; i < 4; i++) {
		char c = at[i];
		uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10) : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10) : 16;
		if (digit == 16) return -1;
		*into = *into << 4 | digit;
	}
	return 0;
}

// \uXXXX, or two of them that are one character. What it becomes is never longer than what it was.
static char *unicode(struct reader *r, char *to)
{
	uint32_t code, low;
	if (r->end - r->at < 4 || hex(r->at, &code) < 0 || code == 0) return NULL;
	r->at += 4;
	if (code >= 0xdc00 && code < 0xe000) return NULL;
	if (code >= 0xd800 && code < 0xdc00) {
		if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u' || hex(r->at + 2, &low) < 0 || low < 0xdc00 || low >= 0xe000) return NULL;
		r->at += 6;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	if (code < 0x80) *to++ = (char)code;
	else {
		int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
		static const uint8_t heads[] = { 0, 0xc0, 0xe0, 0xf0 };
		*to++ = (char)(heads[more] | code >> (6 * more));
		while (more-- > 0) *to++ = (char)(0x80 | ((code >> (6 * more)) & 0x3f));
	}
	return to;
}

// Behind the opening quote. The string, or NULL.
static char *string(struct reader *r)
{
	static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	char *start = r->at, *to = r->at;
	while (r->at < r->end) {
		uint8_t byte = (uint8_t)*r->at;
		if (byte == '"') {
			r->at++;
			*to = '\0';
			return start;
		}
		if (byte < ' ') return NULL;
		if (byte != '\\') {
			size_t length = utf8_length((const uint8_t *)r->at, (size_t)(r->end - r->at));
			if (length == 0) return NULL;
			memmove(to, r->at, length);
			to += length;
			r->at += length;
			continue;
		}
		if (++r->at == r->end) return NULL;
		char letter = *r->at++;
		const char *known = letter == '\0' ? NULL : strchr(escapes, letter);
		if (known != NULL) *to++ = meanings[known - escapes];
		else if (letter != 'u' || (to = unicode(r, to)) == NULL) return NULL;
	}
	return NULL;
}

static bool digits(struct reader *r)
{
	char *start = r->at;
	while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
	return r->at > start;
}

static int number(struct reader *r)
{
	char *start = r->at;
	if (*r->at == '-') r->at++;
	bool zero = r->at < r->end && *r->at == '0';
	char *first = r->at;
	if (!digits(r) || (zero && r->at - first > 1)) return -1;
	if (r->at < r->end && *r->at == '.') {
		r->at++;
		if (!digits(r)) return -1;
	}
	if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
		r->at++;
		if (r->at < r->end && (*r->at == '+' || *r->at == '-')) r->at++;
		if (!digits(r)) return -1;
	}
	return add(r, JSON_NUMBER, start);
}

static bool word(struct reader *r, const char *text)
{
	size_t length = strlen(text);
	if ((size_t)(r->end - r->at) < length || memcmp(r->at, text, length) != 0) return false;
	r->at += length;
	return true;
}

static int value(struct reader *r, int depth);

// Behind the opening bracket: items, or names and values.
static int items(struct reader *r, bool named, int depth)
{
	char close = named ? '}' : ']';
	space(r);
	if (r->at < r->end && *r->at == close) return r->at++, 0;
	for (;;) {
		space(r);
		if (named) {
			if (r->at == r->end || *r->at++ != '"') return -1;
			char *name = string(r);
			if (name == NULL || add(r, JSON_STRING, name) < 0) return -1;
			space(r);
			if (r->at == r->end || *r->at++ != ':') return -1;
		}
		if (value(r, depth) < 0) return -1;
		space(r);
		if (r->at == r->end) return -1;
		char c = *r->at++;
		if (c == close) return 0;
		if (c != ',') return -1;
	}
}

static int value(struct reader *r, int depth)
{
	space(r);
	if (r->at == r->end) return -1;
	char c = *r->at;
	if (c == 'n') return word(r, "null") ? add(r, JSON_NULL, NULL) : -1;
	if (c == 't') return word(r, "true") ? add(r, JSON_TRUE, NULL) : -1;
	if (c == 'f') return word(r, "false") ? add(r, JSON_FALSE, NULL) : -1;
	if (c == '"') {
		r->at++;
		char *text = string(r);
		return text == NULL ? -1 : add(r, JSON_STRING, text);
	}
	if (c == '-' || (c >= '0' && c <= '9')) return number(r);
	if ((c != '[' && c != '{') || depth == 0) return -1;
	size_t index = r->json->count;
	r->at++;
	if (add(r, c == '{' ? JSON_OBJECT : JSON_ARRAY, NULL) < 0 || items(r, c == '{', depth - 1) < 0) return -1;
	r->json->values[index].next = r->json->count;
	return 0;
}

int json_read(struct json *json, char *text, size_t length)
{
	*json = (struct json){ 0 };
	struct reader r = { json, text, text + length };
	text[length] = '\0';
	if (value(&r, DEPTH_MAX) == 0) {
		space(&r);
		if (r.at == r.end) return 0;
	}
	json_free(json);
	return -1;
}

void json_free(struct json *json)
{
	free(json->values);
	*json = (struct json){ 0 };
}

size_t json_member(const struct json *json, size_t object, const char *name)
{
	size_t found = 0;
	if (json->values[object].kind != JSON_OBJECT) return 0;
	for (size_t at = object + 1; at < json->values[object].next; at = json->values[at + 1].next)
		if (strcmp(json->values[at].text, name) == 0) found = at + 1;
	return found;
}

bool json_number(const struct json_value *value, uint64_t most, uint64_t *into)
{
	if (value->kind != JSON_NUMBER) return false;
	uint64_t number = 0;
	const char *at = value->text;
	for (; *at >= '0' && *at <= '9'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');
		if (digit > most || number > (most - digit) / 10) return false;
		number = number * 10 + digit;
	}
	// A sign, a fraction or an exponent: not of the plainest kind.
	if (at == value->text || *at == '.' || *at == 'e' || *at == 'E') return false;
	*into = number;
	return true;
}
