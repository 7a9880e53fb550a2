/* A ring buffer of bytes. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define RING_MIN 16
#define RING_MAX(a, b) \
    ((a) > (b) ? (a) : (b))

struct ring {
    unsigned char *data;
    size_t size;
    size_t head, tail;
};

static size_t ring_used(const struct ring *r)
{
    return (r->head + r->size - r->tail) % r->size;
}

/* Returns NULL when memory is short. */
struct ring *ring_new(size_t size)
{
    struct ring *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->size = RING_MAX(size, RING_MIN);
    r->data = malloc(r->size);
    if (!r->data) {
        free(r);
        return NULL;
    }
    return r;
}

#ifdef RING_DEBUG
void ring_dump(const struct ring *r)
{
    for (size_t i = r->tail; i != r->head; i = (i + 1) % r->size)
        printf("%02x ", r->data[i]);
}
#endif
