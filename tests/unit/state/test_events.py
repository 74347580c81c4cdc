def test_events_are_listed_oldest_first(state):
    for number in range(5):
        state.events.record("a" if number % 2 else "b", "me", "x", str(number), number)
    assert [e.detail for e in state.events.list(limit=3)] == ["2", "3", "4"]
    assert [e.detail for e in state.events.list("a")] == ["1", "3"]
