def test_domains_keep_their_order_and_come_once(state):
    state.routes.set_domains("shop", ("b", "a"))
    state.routes.add_domains("shop", ("c", "a"))
    assert state.routes.domains("shop") == ("b", "a", "c")
    state.routes.remove_domains("shop", ("b",))
    assert state.routes.domains("shop") == ("a", "c")
    state.routes.clear_domains("shop")
    assert state.routes.domains("shop") == ()
