/*
 * The container log: one record per chunk read, in files log.0 (newest), log.1, … of one directory.
 * Both the writer (pouch-log) and the reader (src/log-format.ts) hold to this drawing. It holds no code but the encoder of a header.
 *
 *   offset size
 *        0    4  magic     "PLR1"
 *        4    1  version   1
 *        5    1  kind      1 stdout, 2 stderr, 3 start, 4 end, 5 lost
 *        6    2  flags     bit 0: the container has a terminal
 *        8    4  length    of the payload, at most 32768
 *       12    4  run       number of the start in this log, from 1
 *       16    8  time      UTC, nanoseconds since 1970
 *       24    8  position  bytes written to this log before this record, rotated files included
 *       32    4  check     FNV-1a of bytes 0..31
 *       36    n  payload   the chunk; for start and end the start's id; for lost a u64 count of bytes dropped
 *     36+n    4  length    again, so that the last record is found from the end of the file
 *     40+n    4  magic     "PLRE"
 *
 * All numbers are little-endian. A record is appended by one writev, whole or not at all: a writer that finds a torn
 * record at the end (killed in the middle, disk full) cuts it off before it appends. A reader therefore reads again from the last
 * whole record's end instead of keeping a part. The next record's position is this one's position + 44 + length; anything else is a gap.
 */
#ifndef POUCH_LOG_FORMAT_H
#define POUCH_LOG_FORMAT_H

#include <stdint.h>

#define LOG_MAGIC 0x31524c50u
#define LOG_END_MAGIC 0x45524c50u
#define LOG_VERSION 1
#define LOG_HEADER 36u
#define LOG_TRAILER 8u
#define LOG_OVERHEAD (LOG_HEADER + LOG_TRAILER)
#define LOG_PAYLOAD_MAX 32768u
#define LOG_RECORD_MAX (LOG_OVERHEAD + LOG_PAYLOAD_MAX)

enum log_kind { LOG_STDOUT = 1, LOG_STDERR = 2, LOG_START = 3, LOG_END = 4, LOG_LOST = 5 };
#define LOG_FLAG_TTY 1u

static inline void put32(unsigned char *at, uint32_t value)
{
	for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (8 * i));
}

static inline void put64(unsigned char *at, uint64_t value)
{
	for (int i = 0; i < 8; i++) at[i] = (unsigned char)(value >> (8 * i));
}

static inline uint32_t get32(const unsigned char *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t get64(const unsigned char *at)
{
	return (uint64_t)get32(at) | (uint64_t)get32(at + 4) << 32;
}

/* FNV-1a, 32 bits. */
static inline uint32_t log_check(const unsigned char *header)
{
	uint32_t hash = 2166136261u;
	for (int i = 0; i < 32; i++) hash = (hash ^ header[i]) * 16777619u;
	return hash;
}

#endif
