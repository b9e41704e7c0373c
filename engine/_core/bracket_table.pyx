from libc.stdint cimport uint8_t
from libc.string cimport memset

# Every phase has a row for its deadline except the final one. Late fills leave even the final one: what they bring in
# is protected, what they sell too much is bought back.
cdef list LEGAL = [(phase, sign, target) for phase, row in [
    (PHASE_WAITING, [
        (SIGN_IDLE, PHASE_WAITING), (SIGN_BARE, PHASE_BARE), (SIGN_COVERED, PHASE_COVERED), (SIGN_OVER, PHASE_OVER),
        (SIGN_LINGER, PHASE_CLOSING), (SIGN_FLAT, PHASE_CLOSED), (SIGN_LATE, PHASE_CLOSING),
        (SIGN_FLATTEN, PHASE_CLOSING),
    ]),
    (PHASE_BARE, [
        (SIGN_IDLE, PHASE_WAITING), (SIGN_BARE, PHASE_BARE), (SIGN_COVERED, PHASE_COVERED), (SIGN_OVER, PHASE_OVER),
        (SIGN_LINGER, PHASE_CLOSING), (SIGN_FLAT, PHASE_CLOSED), (SIGN_LATE, PHASE_UNWINDING),
        (SIGN_GIVE_UP, PHASE_UNWINDING), (SIGN_FLATTEN, PHASE_UNWINDING),
    ]),
    (PHASE_COVERED, [
        (SIGN_IDLE, PHASE_WAITING), (SIGN_BARE, PHASE_BARE), (SIGN_COVERED, PHASE_COVERED), (SIGN_OVER, PHASE_OVER),
        (SIGN_LINGER, PHASE_CLOSING), (SIGN_FLAT, PHASE_CLOSED), (SIGN_LATE, PHASE_UNWINDING),
        (SIGN_FLATTEN, PHASE_UNWINDING),
    ]),
    (PHASE_UNWINDING, [
        (SIGN_BARE, PHASE_UNWINDING), (SIGN_COVERED, PHASE_UNWINDING), (SIGN_OVER, PHASE_OVER),
        (SIGN_LINGER, PHASE_CLOSING), (SIGN_FLAT, PHASE_CLOSED), (SIGN_LATE, PHASE_UNWINDING),
        (SIGN_GIVE_UP, PHASE_STUCK), (SIGN_FLATTEN, PHASE_UNWINDING),
    ]),
    (PHASE_OVER, [
        (SIGN_BARE, PHASE_UNWINDING), (SIGN_COVERED, PHASE_UNWINDING), (SIGN_OVER, PHASE_OVER),
        (SIGN_LINGER, PHASE_CLOSING), (SIGN_FLAT, PHASE_CLOSED), (SIGN_LATE, PHASE_OVER),
        (SIGN_GIVE_UP, PHASE_STUCK), (SIGN_FLATTEN, PHASE_OVER),
    ]),
    (PHASE_CLOSING, [
        (SIGN_BARE, PHASE_BARE), (SIGN_COVERED, PHASE_COVERED), (SIGN_OVER, PHASE_OVER),
        (SIGN_LINGER, PHASE_CLOSING), (SIGN_FLAT, PHASE_CLOSED), (SIGN_LATE, PHASE_CLOSING),
        (SIGN_GIVE_UP, PHASE_STUCK), (SIGN_FLATTEN, PHASE_CLOSING),
    ]),
    (PHASE_STUCK, [
        (SIGN_BARE, PHASE_UNWINDING), (SIGN_COVERED, PHASE_COVERED), (SIGN_OVER, PHASE_OVER),
        (SIGN_LINGER, PHASE_CLOSING), (SIGN_FLAT, PHASE_CLOSED), (SIGN_LATE, PHASE_STUCK),
        (SIGN_BLOCKED, PHASE_STUCK), (SIGN_FLATTEN, PHASE_STUCK),
    ]),
    (PHASE_CLOSED, [
        (SIGN_BARE, PHASE_BARE), (SIGN_OVER, PHASE_OVER), (SIGN_LINGER, PHASE_CLOSING), (SIGN_FLAT, PHASE_CLOSED),
        (SIGN_FLATTEN, PHASE_CLOSED),
    ]),
] for sign, target in row]

memset(BRACKET_NEXT, PHASE_FREE, sizeof(BRACKET_NEXT))
for _phase, _sign, _target in LEGAL:
    BRACKET_NEXT[<int>_phase][<int>_sign] = <uint8_t>_target

BracketPhase = bracket_phase_t
BracketSign = bracket_sign_t


def transitions():
    """The legal transitions as (phase, sign, phase): what the documents and the twin are held against."""
    return [(bracket_phase_t(a), bracket_sign_t(b), bracket_phase_t(c)) for a, b, c in LEGAL]
