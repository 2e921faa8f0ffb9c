"""Modules import one another one way: the layers are import-linter's contracts, here it is every single module."""

import grimp


def test_there_is_no_import_circle() -> None:
    graph = grimp.build_graph("splitkit", exclude_type_checking_imports=True, cache_dir=None)
    waiting = {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}
    assert len(waiting) > 400
    while free := {name for name, needs in waiting.items() if not needs & waiting.keys()}:
        for name in free:
            del waiting[name]
    assert not waiting, f"modules that import each other, or are imported by such: {sorted(waiting)}"
