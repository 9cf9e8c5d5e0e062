"""A message over which the broker ends the connection is found; one that is merely under way when links die is not."""

from flowrt.endpoints.mqtt.suspicion import CALM_SECONDS, ENDS, PROMPT_SECONDS, PROOFS, SHUN_SECONDS, Suspicion


def suspicious():
    """Enough connections have ended without a confirmation."""
    found = Suspicion()
    for _ in range(ENDS):
        assert not found.alone
        found.opened(0.0)
        assert found.lost(5, 0.1) is None
    assert found.alone
    return found


def end_over(found, packet_id, *, after=0.1):
    """A connection on which a message is sent alone, and that ends so many seconds later."""
    found.opened(10.0)
    assert not found.may_send(0, 10.0 + CALM_SECONDS / 2)
    assert not found.may_send(1, 10.0 + CALM_SECONDS)
    assert found.may_send(0, 10.0 + CALM_SECONDS)
    found.sending(packet_id, 10.0 + CALM_SECONDS)
    return found.lost(1, 10.0 + CALM_SECONDS + after)


def test_a_message_over_which_connections_end_is_guilty():
    found = suspicious()
    assert [end_over(found, 7) for _ in range(PROOFS)] == [None] * (PROOFS - 1) + [7]


def test_another_message_begins_anew():
    found = suspicious()
    assert [end_over(found, one) for one in (7, 8, 7, 8)] == [None] * 4


def test_a_link_that_dies_later_proves_nothing():
    found = suspicious()
    assert [end_over(found, 7, after=PROMPT_SECONDS * 1.1) for _ in range(5)] == [None] * 5


def test_what_the_broker_has_already_is_not_guilty():
    found = suspicious()
    assert [end_over(found, None) for _ in range(5)] == [None] * 5


def test_connections_that_bring_something_are_no_reason():
    found = Suspicion()
    for _ in range(10):
        found.opened(0.0)
        found.confirmed(all_clear=False, topic=None)
        assert found.lost(5, 0.1) is None
    assert not found.alone


def test_messages_go_together_again_once_none_is_left_to_repeat():
    found = suspicious()
    found.opened(0.0)
    found.sending(7, 2.0)
    found.confirmed(all_clear=False, topic="a")
    assert found.alone
    found.confirmed(all_clear=True, topic="a")
    assert not found.alone


def test_a_topic_is_guilty_with_its_second_message_and_for_a_while():
    found = suspicious()
    assert not found.found_guilty("a", 0.0)
    assert not found.shuns_topic("a", 0.0)
    assert found.found_guilty("a", 0.0)
    assert found.shuns == 1
    assert found.shuns_topic("a", SHUN_SECONDS - 1)
    assert not found.shuns_topic("b", 1.0)
    assert not found.shuns_topic("a", SHUN_SECONDS)
    assert found.found_guilty("a", SHUN_SECONDS + 1)


def test_a_good_message_between_them_clears_the_topic():
    found = suspicious()
    found.found_guilty("a", 0.0)
    found.confirmed(all_clear=False, topic="a")
    assert not found.found_guilty("a", 0.0)
