"""One query language for page, command line, API and rules: `host:shop.example status:>=500 -user:alice`.

`parse` makes a tree of a text or raises QueryError, `compile_query` makes a Matcher of a tree. `demand`
refuses words that are not known yet where a rule is asked. `words.WORDS` is the table of all words.
"""

from interpose.core.query.error import QueryError as QueryError
from interpose.core.query.grammar import parse as parse
from interpose.core.query.matching import Matcher as Matcher
from interpose.core.query.matching import Subject as Subject
from interpose.core.query.matching import compile_query as compile_query
from interpose.core.query.needs import demand as demand
from interpose.core.query.tree import And as And
from interpose.core.query.tree import Not as Not
from interpose.core.query.tree import Or as Or
from interpose.core.query.tree import Phrase as Phrase
from interpose.core.query.tree import Query as Query
from interpose.core.query.tree import Term as Term
