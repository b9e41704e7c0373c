"""What people see of a book on paper: the venue's own levels, while the core follows the touch alone."""

from __future__ import annotations

from tests.support.hand import Hand


def test_the_picture_has_levels_of_both_sides_best_first_and_never_crossed(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('[market]\nkind = "flow"\n')
    hand = Hand(tmp_path / "state", mine)
    try:
        seen = 0
        for _ in range(30):
            hand.run(100)
            for symbol in hand.picture.status().symbols:
                bids, asks = ([px for px, _ in side] for side in (symbol.bids, symbol.asks))
                assert bids == sorted(set(bids), reverse=True)
                assert asks == sorted(set(asks))
                assert not bids or not asks or bids[0] < asks[0]
                assert all(qty > 0 for _, qty in (*symbol.bids, *symbol.asks))
                seen += len(bids) >= 5 and len(asks) >= 5
        assert seen > 30
    finally:
        hand.close()
