import pytest
from node_bench import Bench


@pytest.fixture
def node_bench(tmp_path):
    made = []

    def make(operator, **options):
        made.append(Bench(tmp_path, operator, **options))
        return made[-1]

    yield make
    for one in made:
        one.letters.close()
