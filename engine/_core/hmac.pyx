cimport cython
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy, memset
from posix.dlfcn cimport RTLD_LOCAL, RTLD_NOW, dlopen, dlsym

import _hashlib

from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new

# OpenSSL's low-level interface: three plain functions over a struct of the caller, so nothing is allocated and a
# state can be copied. The EVP interface allocates a context a copy and costs four times as much for a short message.
ctypedef int (*init_t)(sha256_t* state) noexcept nogil
ctypedef int (*update_t)(sha256_t* state, const void* p, size_t n) noexcept nogil
ctypedef int (*final_t)(uint8_t* digest, sha256_t* state) noexcept nogil

cdef init_t _init = NULL
cdef update_t _update = NULL
cdef final_t _final = NULL


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(sha256_t) == 112)


cdef bint _find(const char* path) noexcept:
    """Look the functions up in a library and everything it is linked to."""
    global _init, _update, _final
    cdef void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)
    if handle == NULL:
        return False
    _init = <init_t>dlsym(handle, b"SHA256_Init")
    _update = <update_t>dlsym(handle, b"SHA256_Update")
    _final = <final_t>dlsym(handle, b"SHA256_Final")
    return _init != NULL and _update != NULL and _final != NULL


cdef bint _is_as_expected() noexcept:
    """The layout and the answer, once: a library that keeps more than 112 bytes would write past them."""
    cdef uint8_t room[256]
    cdef uint8_t digest[32]
    cdef sha256_t* state = <sha256_t*>room
    cdef int i
    memset(room, 0xA5, sizeof(room))
    _init(state)
    _update(state, b"abc", 3)
    for i in range(<int>sizeof(sha256_t), 256):
        if room[i] != 0xA5:
            return False
    if state.length_low != 24 or state.filled != 3 or memcmp(state.data, b"abc", 3) != 0:
        return False
    _final(digest, state)
    return memcmp(digest, b"\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23"
                          b"\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad", 32) == 0


cdef bint _load() noexcept:
    global _init
    # The interpreter's own first; by name where that one carries the library inside itself and shows none of it.
    for name in (getattr(_hashlib, "__file__", None), "libcrypto.so.3", "libcrypto.so.1.1"):
        if name is not None and _find(name.encode()) and _is_as_expected():
            return True
    _init = NULL
    return False


cdef bint _available = _load()


cdef bint hmac_is_available() noexcept nogil:
    return _available


cdef void hmac_key_init(hmac_key_t* key, const uint8_t* secret, size_t n) noexcept nogil:
    """Hash both pads once. A secret longer than a block is hashed first, as RFC 2104 says."""
    cdef uint8_t block[64]
    cdef int i
    memset(block, 0, SHA256_BLOCK)
    if n > SHA256_BLOCK:
        _init(&key.inner)
        _update(&key.inner, secret, n)
        _final(block, &key.inner)
    else:
        memcpy(block, secret, n)
    for i in range(SHA256_BLOCK):
        block[i] ^= 0x36
    _init(&key.inner)
    _update(&key.inner, block, SHA256_BLOCK)
    for i in range(SHA256_BLOCK):
        block[i] ^= 0x36 ^ 0x5C
    _init(&key.outer)
    _update(&key.outer, block, SHA256_BLOCK)
    memset(block, 0, SHA256_BLOCK)


cdef void sha256_add(sha256_t* state, const void* p, size_t n) noexcept nogil:
    _update(state, p, n)


cdef void hmac_finish(const hmac_key_t* key, sha256_t* inner, uint8_t* digest) noexcept nogil:
    """The signature of what `inner`, begun from the key's inner state, has taken in."""
    cdef sha256_t outer = key.outer
    _final(digest, inner)
    _update(&outer, digest, SHA256_SIZE)
    _final(digest, &outer)


cdef void hmac_sign(const hmac_key_t* key, const void* p, size_t n, uint8_t* digest) noexcept nogil:
    cdef sha256_t inner = key.inner
    _update(&inner, p, n)
    hmac_finish(key, &inner, digest)


@cython.final
cdef class HmacKey:
    """One secret, ready to sign. It cannot be read back, printed or pickled."""

    def __cinit__(self, const uint8_t[::1] secret not None):
        if not _available:
            raise ImportError("no libcrypto with SHA256_Init beside this interpreter: install OpenSSL's library")
        self.c = <hmac_key_t*>block_new(sizeof(hmac_key_t))
        hmac_key_init(self.c, &secret[0] if secret.shape[0] else NULL, secret.shape[0])

    def __dealloc__(self):
        if self.c != NULL:
            memset(self.c, 0, sizeof(hmac_key_t))
        block_free(self.c)

    def __reduce__(self):
        raise TypeError("a key is not copied")

    def sign(self, const uint8_t[::1] message not None):
        cdef uint8_t digest[32]
        hmac_sign(self.c, &message[0] if message.shape[0] else NULL, message.shape[0], digest)
        return <bytes>digest[:32]

    def sign_after(self, const uint8_t[::1] head not None, const uint8_t[::1] tail not None):
        """The signature of head + tail, the head's state kept between: what a message of a fixed beginning does."""
        cdef uint8_t digest[32]
        cdef sha256_t state = self.c.inner
        sha256_add(&state, &head[0] if head.shape[0] else NULL, head.shape[0])
        sha256_add(&state, &tail[0] if tail.shape[0] else NULL, tail.shape[0])
        hmac_finish(self.c, &state, digest)
        return <bytes>digest[:32]
