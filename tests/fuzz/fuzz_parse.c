/* The fuzz target: one input read by the kernels' C functions, twice and without the fast path, then by the twin.

   Frame and room are heap blocks of exactly their size, so that AddressSanitizer sees one byte read or written outside
   them. The second reading goes into a block that held other bytes: an event with an undefined byte differs. What an
   input means stands in tests/fuzz/target.py, which also owns the parsers and the comparison with the twin. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENT = 64, TWIN_FRAME_MAX = 4096, TS_RECV_NS = 5 };

typedef int (*parse_fn)(void *parser, const char *p, size_t n, int64_t ts_recv_ns, void *out, size_t room, size_t *count);

static parse_fn parse[2];                    /* of text, of binary frames */
static void *fast[2], *general[2];           /* by context of the connection */
static size_t rooms[2];
static PyObject *agrees;                     /* NULL: without the twin */

static void need(int ok, const char *what) {
    if (ok)
        return;
    if (PyErr_Occurred())
        PyErr_Print();
    fprintf(stderr, "fuzz_parse: %s\n", what);
    abort();
}

static void *c_function(PyObject *module, const char *name) {
    PyObject *table = PyObject_GetAttrString(module, "__pyx_capi__");
    PyObject *capsule = table ? PyDict_GetItemString(table, name) : NULL;
    need(capsule != NULL, name);
    void *function = PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule));
    need(function != NULL, name);
    Py_DECREF(table);
    return function;
}

static void addresses(PyObject *target, const char *name, void *into[2]) {
    PyObject *list = PyObject_GetAttrString(target, name);
    need(list != NULL, name);
    for (int i = 0; i < 2; i++)
        into[i] = PyLong_AsVoidPtr(PyList_GetItem(list, i));
    need(into[0] != NULL && into[1] != NULL, name);
    Py_DECREF(list);
}

static size_t size_of(PyObject *target, const char *name) {
    PyObject *number = PyObject_GetAttrString(target, name);
    need(number != NULL, name);
    size_t size = PyLong_AsSize_t(number);
    Py_DECREF(number);
    return size;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    Py_InitializeEx(0);
    PyObject *module = PyImport_ImportModule("engine._core.parse");
    PyObject *target = PyImport_ImportModule("tests.fuzz.target");
    need(module != NULL && target != NULL, "the kernels do not import");
    parse[0] = (parse_fn)c_function(module, "parse_frame");
    parse[1] = (parse_fn)c_function(module, "parse_sbe_frame");
    addresses(target, "FAST", fast);
    addresses(target, "GENERAL", general);
    rooms[0] = size_of(target, "ROOM");
    rooms[1] = size_of(target, "NARROW_ROOM");
    const char *twin = getenv("BOT4_FUZZ_TWIN");
    if (twin == NULL || strcmp(twin, "0") != 0) {
        agrees = PyObject_GetAttrString(target, "agrees");
        need(agrees != NULL, "agrees");
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    int binary = data[0] & 1, context = data[0] >> 1 & 1, narrow = data[0] >> 2 & 1, status[3];
    size_t n = size - 1, room = rooms[narrow], counts[3];
    void *parsers[3] = {fast[context], fast[context], general[context]};
    char *frame = malloc(n), *out[3];
    if (n)
        memcpy(frame, data + 1, n);
    for (int i = 0; i < 3; i++) {
        out[i] = malloc(room * EVENT);
        memset(out[i], i ? 0xA5 : 0x5A, room * EVENT);
        counts[i] = room + 1;
        status[i] = parse[binary](parsers[i], frame, n, TS_RECV_NS, out[i], room, &counts[i]);
        need(counts[i] <= room, "more events than room");
        need(status[i] == 0 || counts[i] == 0, "a refused frame shows events");
        need(status[i] == status[0] && counts[i] == counts[0], i == 1 ? "two readings differ" : "fast and general differ");
        need(memcmp(out[i], out[0], counts[0] * EVENT) == 0, i == 1 ? "an undefined byte" : "fast and general differ");
    }
    if (agrees != NULL && n <= TWIN_FRAME_MAX) {
        PyObject *answer = PyObject_CallFunction(agrees, "(iii)y#iy#", binary, context, (int)room, frame, (Py_ssize_t)n,
                                                 status[0], out[0], (Py_ssize_t)(counts[0] * EVENT));
        need(answer != NULL, "the twin reads it otherwise");
        Py_DECREF(answer);
    }
    for (int i = 0; i < 3; i++)
        free(out[i]);
    free(frame);
    return 0;
}
