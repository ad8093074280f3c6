// pouch-files: frames in and out. Whoever sends a frame that cannot be is not answered but left.
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEADER_BYTES 8u
#define ENTRY_BYTES 72u

void (*before_giving_up)(void);

static void put32(unsigned char *to, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++) to[i] = (unsigned char)(value >> (8 * i));
}

static void put64(unsigned char *to, uint64_t value)
{
	put32(to, (uint32_t)value);
	put32(to + 4, (uint32_t)(value >> 32));
}

static void put16(unsigned char *to, size_t value)
{
	to[0] = (unsigned char)value;
	to[1] = (unsigned char)(value >> 8);
}

uint32_t get32(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint64_t get64(const unsigned char *bytes)
{
	return get32(bytes) | (uint64_t)get32(bytes + 4) << 32;
}

static size_t get16(const unsigned char *bytes)
{
	return (size_t)bytes[0] | (size_t)bytes[1] << 8;
}

// The other side has gone, or speaks nonsense: nobody is there to be told.
static _Noreturn void leave(int status)
{
	if (before_giving_up != NULL) before_giving_up();
	_exit(status);
}

// False: ended before the first byte.
static bool read_whole(unsigned char *to, size_t length)
{
	for (size_t have = 0; have < length;) {
		ssize_t got = read(STDIN_FILENO, to + have, length - have);
		if (got < 0 && errno == EINTR) continue;
		if (got <= 0 && have == 0) return false;
		if (got <= 0) leave(1);
		have += (size_t)got;
	}
	return true;
}

bool take_frame(uint8_t *op, const unsigned char **payload, size_t *length)
{
	static unsigned char header[HEADER_BYTES], bytes[FILES_MAX_PAYLOAD];
	if (!read_whole(header, sizeof header)) return false;
	*length = get32(header);
	*op = header[4];
	*payload = bytes;
	if (*length > sizeof bytes || (*length > 0 && !read_whole(bytes, *length))) leave(1);
	return true;
}

static void write_whole(const unsigned char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t done = write(STDOUT_FILENO, bytes, length);
		if (done < 0 && errno == EINTR) continue;
		if (done <= 0) leave(1);
		bytes += done;
		length -= (size_t)done;
	}
}

void send_frame(uint8_t op, const void *payload, size_t length)
{
	static unsigned char frame[HEADER_BYTES + FILES_MAX_PAYLOAD];
	memset(frame, 0, HEADER_BYTES);
	put32(frame, (uint32_t)length);
	frame[4] = op;
	if (length > 0) memcpy(frame + HEADER_BYTES, payload, length);
	write_whole(frame, HEADER_BYTES + length);
}

void send_entry(uint8_t op, const struct entry *entry)
{
	static unsigned char bytes[ENTRY_BYTES + 2 * FILES_PATH_MAX + FILES_CAPABILITY_MAX];
	size_t path = strlen(entry->path), link = strlen(entry->link);
	const uint32_t numbers[] = { entry->mode, entry->uid, entry->gid, entry->links, entry->major, entry->minor, entry->mtime_ns, 0 };
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) put32(bytes + 4 * i, numbers[i]);
	put64(bytes + 32, (uint64_t)entry->mtime);
	put64(bytes + 40, entry->size);
	put64(bytes + 48, entry->device);
	put64(bytes + 56, entry->inode);
	put16(bytes + 64, path);
	put16(bytes + 66, link);
	put16(bytes + 68, entry->capability_length);
	put16(bytes + 70, 0);
	memcpy(bytes + ENTRY_BYTES, entry->path, path);
	memcpy(bytes + ENTRY_BYTES + path, entry->link, link);
	memcpy(bytes + ENTRY_BYTES + path + link, entry->capability, entry->capability_length);
	send_frame(op, bytes, ENTRY_BYTES + path + link + entry->capability_length);
}

void take_path(char path[FILES_PATH_MAX + 1], const unsigned char *bytes, size_t length)
{
	if (length > FILES_PATH_MAX) give_up(ENAMETOOLONG, "a path of %zu bytes", length);
	if (length > 0 && memchr(bytes, '\0', length) != NULL) give_up(EINVAL, "a path with a zero byte");
	if (length > 0) memcpy(path, bytes, length);
	path[length] = '\0';
}

void read_entry(struct entry *entry, const unsigned char *payload, size_t length)
{
	if (length < ENTRY_BYTES) give_up(EPROTO, "an entry of %zu bytes", length);
	size_t path = get16(payload + 64), link = get16(payload + 66), capability = get16(payload + 68);
	if (ENTRY_BYTES + path + link + capability != length || capability > FILES_CAPABILITY_MAX) give_up(EPROTO, "an entry whose lengths do not fit");
	*entry = (struct entry){
		.mode = get32(payload), .uid = get32(payload + 4), .gid = get32(payload + 8), .major = get32(payload + 16), .minor = get32(payload + 20),
		.mtime_ns = get32(payload + 24), .mtime = (int64_t)get64(payload + 32), .size = get64(payload + 40), .capability_length = capability,
	};
	take_path(entry->path, payload + ENTRY_BYTES, path);
	take_path(entry->link, payload + ENTRY_BYTES + path, link);
	memcpy(entry->capability, payload + ENTRY_BYTES + path + link, capability);
}

_Noreturn void give_up(int code, const char *format, ...)
{
	static unsigned char payload[4 + FILES_PATH_MAX + 256];
	va_list arguments;
	put32(payload, (uint32_t)code);
	va_start(arguments, format);
	int length = vsnprintf((char *)payload + 4, sizeof payload - 4, format, arguments);
	va_end(arguments);
	size_t text = length < 0 ? 0 : (size_t)length >= sizeof payload - 4 ? sizeof payload - 5 : (size_t)length;
	if (before_giving_up != NULL) before_giving_up();
	before_giving_up = NULL;
	send_frame(FILES_ERROR, payload, 4 + text);
	_exit(1);
}
