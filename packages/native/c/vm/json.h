// JSON as a flat list of values: what the front of runv reads of its own record and of an engine's process.json. It must not guess: a text that is
// not JSON of the plainest kind is refused, and whoever reads it otherwise says why.
#ifndef POUCH_JSON_H
#define POUCH_JSON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_value {
	enum json_kind kind;
	const char *text; // strings: without escapes, NUL-terminated; numbers: where it begins
	size_t next;      // index behind it and all that is in it
};

// An array's items and an object's names and values, in turn, follow it. The root is 0.
struct json {
	struct json_value *values;
	size_t count, capacity;
};

// Reads `text`, whose bytes at [length] must be writable: strings are unescaped in place and point into it. 0, or -1: no JSON, not UTF-8, a NUL or half a
// character in a string, nested deeper than 32, more than 65,536 values, or no memory. Nothing has to be freed after -1.
int json_read(struct json *json, char *text, size_t length);
void json_free(struct json *json);

// The value of an object's last member of this name; 0 (the root is no member) when there is none or `object` is none.
size_t json_member(const struct json *json, size_t object, const char *name);

// A whole number without sign from 0 to `most`, as digits only.
bool json_number(const struct json_value *value, uint64_t most, uint64_t *into);
#endif
