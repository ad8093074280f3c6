// pouch-init: the records of CONFIGURE, SPAWN and UPDATE. Every reading is checked against what is left; nothing is kept.
#include "init.h"

#include <stdlib.h>

int next_record(struct reader *reader, struct record *record)
{
  size_t left = (size_t)(reader->end - reader->at);
  if (left == 0) return 0;
  if (left < 8 || get16(reader->at + 2) != 0) return refuse(EPROTO, "malformed record");
  record->tag = get16(reader->at);
  record->length = get32(reader->at + 4);
  record->bytes = reader->at + 8;
  if (record->length > left - 8) return refuse(EPROTO, "record %u: longer than its payload", record->tag);
  reader->at += 8 + record->length;
  return 1;
}

int take32(struct reader *reader, uint32_t *value)
{
  if (reader->end - reader->at < 4) return refuse(EPROTO, "record too short");
  *value = get32(reader->at);
  reader->at += 4;
  return 0;
}

int take_bytes(struct reader *reader, void *out, size_t length)
{
  if ((size_t)(reader->end - reader->at) < length) return refuse(EPROTO, "record too short");
  memcpy(out, reader->at, length);
  reader->at += length;
  return 0;
}

static char *copy_text(const unsigned char *bytes, size_t length)
{
  if (memchr(bytes, 0, length) != NULL) {
    refuse(EPROTO, "a string holds a NUL");
    return NULL;
  }
  char *text = malloc(length + 1);
  if (text == NULL) {
    fail("string of %zu bytes", length);
    return NULL;
  }
  memcpy(text, bytes, length);
  text[length] = '\0';
  return text;
}

char *take_string(struct reader *reader)
{
  uint32_t length = 0;
  if (take32(reader, &length) < 0) return NULL;
  if ((size_t)(reader->end - reader->at) < length) {
    refuse(EPROTO, "string longer than its record");
    return NULL;
  }
  const unsigned char *bytes = reader->at;
  reader->at += length;
  return copy_text(bytes, length);
}

char *take_rest(struct reader *reader)
{
  const unsigned char *bytes = reader->at;
  reader->at = reader->end;
  return copy_text(bytes, (size_t)(reader->end - bytes));
}
