/* A table with one slot a topic, in memory kept for the life of the module. The slots are the module's state, so that
 * saving it copies nothing: the host reads it where it lies.
 */
#ifndef PUMP_TOPICS_H
#define PUMP_TOPICS_H

#include "flowrt.h"

#define TOPIC_ROOM 200
#define FORGET_MILLISECONDS (60 * 60 * 1000)

typedef struct {
  uint64_t last; /* logical milliseconds of the last reading */
  uint32_t size;
  char text[TOPIC_ROOM];
  uint32_t reserved;
} topic_slot; /* the first member of a slot */

typedef struct {
  uint32_t version, slot_size, used, reserved;
  uint8_t slots[];
} topic_state;

typedef struct {
  topic_state *state;
  uint32_t room;
} topic_table;

/* False when there is no memory for `room` slots of `slot_size` bytes, a multiple of 8. */
static inline bool topics_init(topic_table *table, uint32_t version, uint32_t slot_size, uint32_t room) {
  uint64_t size = sizeof(topic_state) + (uint64_t)slot_size * room;
  table->state = size <= INT32_MAX ? flowrt_keep((uint32_t)size) : NULL;
  if (!table->state) return flowrt_log(FLOWRT_ERROR, "no memory for this many topics and this window"), false;
  table->room = room;
  *table->state = (topic_state){.version = version, .slot_size = slot_size};
  return true;
}

static inline topic_slot *topics_at(const topic_table *table, uint32_t index) {
  return (topic_slot *)(table->state->slots + index * table->state->slot_size);
}

static inline topic_slot *topics_take(topic_table *table, uint64_t now) {
  if (table->state->used < table->room) return topics_at(table, table->state->used++);
  topic_slot *oldest = topics_at(table, 0);
  for (uint32_t i = 1; i < table->room; i++)
    if (topics_at(table, i)->last < oldest->last) oldest = topics_at(table, i);
  return oldest->last + FORGET_MILLISECONDS < now ? oldest : NULL;
}

/* The slot of this message's topic, cleared when the topic is new. A full table gives up the topic that was silent for
 * longest, if for an hour; otherwise the message fails. */
static inline topic_slot *topics_find(topic_table *table, const flowrt_message *message) {
  flowrt_text topic = flowrt_topic(message);
  uint64_t now = flowrt_milliseconds(message);
  for (uint32_t i = 0; i < table->state->used; i++) {
    topic_slot *slot = topics_at(table, i);
    if (flowrt_same((flowrt_text){slot->text, slot->size}, topic)) return slot->last = now, slot;
  }
  if (topic.size > TOPIC_ROOM) return flowrt_fail("the topic is longer than 200 bytes"), NULL;
  topic_slot *slot = topics_take(table, now);
  if (!slot) return flowrt_fail("more topics than the property `topics` has room for"), NULL;
  __builtin_memset(slot, 0, table->state->slot_size);
  slot->last = now;
  slot->size = topic.size;
  if (topic.size) __builtin_memcpy(slot->text, topic.data, topic.size);
  return slot;
}

static inline flowrt_span topics_save(const topic_table *table) {
  return (flowrt_span){table->state, sizeof(topic_state) + table->state->used * table->state->slot_size};
}

/* Whether the bytes are a saved table of this version. Its slots may have another size: the module translates them. */
static inline bool topics_saved(const topic_table *table, const topic_state *saved, uint32_t size) {
  return size >= sizeof(topic_state) && saved->version == table->state->version && saved->slot_size >= sizeof(topic_slot) &&
         (uint64_t)saved->used * saved->slot_size + sizeof(topic_state) == size;
}

#endif
