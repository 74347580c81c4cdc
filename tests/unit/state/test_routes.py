def test_domains_keep_their_order_and_come_once(state):
    state.routes.set_domains("shop", ("b", "a", "c", "a"))
    assert state.routes.domains("shop") == ("b", "a", "c")
    state.routes.set_domains("shop", ())
    assert state.routes.domains("shop") == ()
