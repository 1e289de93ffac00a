"""From examples to the text of a prompt, and from labels to the words that may follow it."""

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from selfsup.data.files import refuse_halves
from selfsup.data.places import listed
from selfsup.data.roles import ANSWERS
from selfsup.task import Prompt, Task

Example = Mapping[str, Any]
ANSWERABLE = ("label", "answers", "target")  # a choice among words, and words of the model's own
NO_ANSWER = "unanswerable"


class Wording:
    """The prompt of a task, over the labels there are.

    Args:
        task: with a prompt, whose answer is a label or is written.
        labels: to choose from, if it is a label.
        prompt: in place of the task's own.
    Raises:
        ValueError: there is no prompt, its template does not hold together, or its words do not tell labels apart.
    """

    def __init__(self, task: Task, labels: Sequence[str] = (), prompt: Prompt | None = None) -> None:
        found = prompt or task.prompt
        if found is None or not found.template:
            raise ValueError(
                f"a task with a prompt is wanted, but {task.name} has none: give it one in its file, as "
                'prompt=Prompt("{text}\\nSentiment: {label}"), or say --template'
            )
        for text in (found.template, found.description, found.separator, *found.verbalisers.values()):
            refuse_halves(text, "a prompt")
        self.prompt, self.name, self.labels = found, task.name, tuple(labels)
        self.fields = self._check_template(task)
        self.words = {label: found.verbalisers.get(label, label.replace("_", " ")) for label in labels}
        self.answer_role = self.fields[-1]
        if self.answer_role == "label":
            self._check_words()
        before = found.template.removesuffix(f"{{{self.fields[-1]}}}")
        # A space before an answer belongs to the answer: most tokenizers make one token of " yes", and none of ": ".
        self._before, self._gap = before.rstrip(), before[len(before.rstrip()) :]
        if not self._before:
            raise ValueError(f"a template says something before its answer, but {found.template!r} does not")

    def question(self, example: Example) -> str:
        """An example up to its answer, without the space before it.

        Raises:
            ValueError: it lacks a role of the template.
        """
        return self._before.format_map(self._roles(example))

    def answer(self, text: str) -> str:
        """What follows `question`: the space, and an answer, or the words that stand for a label."""
        return self._gap + self.words.get(text, text)

    def right_answer(self, example: Example) -> str:
        """What `answer` takes of an example: its label, its target, or the first of its answers."""
        value = example[self.answer_role]
        return next(iter(value["text"]), NO_ANSWER) if self.answer_role == "answers" else value

    def context(self, query: Example, shown: Sequence[tuple[Example, str]] = (), *, described: bool = True) -> str:
        """What a model is to go on with: description, examples with their answers, query.

        Args:
            query: an example; its answer is not read.
            shown: examples and what each is shown with, a label or an answer, in order.
            described: with the description, where there is one.
        """
        parts = [self.prompt.description] if described and self.prompt.description else []
        parts += [self.question(example) + self.answer(label) for example, label in shown]
        return self.prompt.separator.join([*parts, self.question(query)])

    def content_free(self, text: str) -> dict[str, Any]:
        """An example that says nothing: `text` in place of every role."""
        return dict.fromkeys(self.fields[:-1], text)

    def _roles(self, example: Example) -> dict[str, str]:
        if missing := [role for role in self.fields[:-1] if role not in example]:
            raise ValueError(
                f"the prompt of {self.name} asks for {{{missing[0]}}}, but an example has {listed(sorted(example))} "
                "alone: give the missing column with --data.columns, or another --template"
            )
        values = {role: example[role] for role in self.fields[:-1]}
        return {role: " ".join(value) if isinstance(value, list) else str(value) for role, value in values.items()}

    def _check_template(self, task: Task) -> list[str]:
        template = self.prompt.template
        try:
            found = [field for _, *field in Formatter().parse(template) if field[0] is not None]
        except ValueError as error:
            raise ValueError(
                f"the template {template!r} cannot be read: write roles as {{text}}, and other braces doubled"
            ) from error
        if dressed := [field for field in found if any(field[1:])]:
            name, form, kind = (part or "" for part in dressed[0])
            came = f"{{{name}{'!' * bool(kind)}{kind}{':' * bool(form)}{form}}}"
            raise ValueError(
                f"a template names roles as they are, as in {{{name}}}, but {came} came: leave the rest out"
            )
        fields = [str(name) for name, *_ in found]
        objective = task.objective()
        roles = (*objective.roles, *objective.optional)
        if unknown := [name for name in fields if name not in roles]:
            raise ValueError(
                f"a template of {task.name} has the fields {listed(roles)}, but {{{unknown[0]}}} came: correct it, or "
                "double braces that mean themselves"
            )
        answers = [name for name in fields if name in ANSWERS]
        if not fields or answers != fields[-1:] or not template.endswith(f"{{{fields[-1]}}}"):
            raise ValueError(
                f"a template ends with its answer, as in {{text}}\\nSentiment: {{label}}, but {template!r} came: put "
                "the answer last, once"
            )
        if answers[0] not in ANSWERABLE or getattr(objective, "multi_label", False):
            kind = "several labels at once" if answers[0] in ANSWERABLE else f"{{{answers[0]}}}"
            raise ValueError(
                f"a task whose answer is one label, or text, is wanted, but {task.name} asks for {kind}: prompt "
                "another task, or fine-tune for this one"
            )
        return fields

    def _check_words(self) -> None:
        if unknown := self.prompt.verbalisers.keys() - set(self.labels):
            raise ValueError(
                f"verbalisers stand for the labels {listed(self.labels)}, but {listed(sorted(unknown))} came: name "
                "labels as the data does"
            )
        if len(self.labels) < 2:
            raise ValueError(f"two labels or more are wanted to choose from, but {listed(self.labels)} came")
        for label, words in self.words.items():
            if not any(one.isprintable() and not one.isspace() for one in words):  # U+200B is neither
                raise ValueError(f"words are wanted for the label {label}, but its verbaliser is {words!r}: name some")
            if same := [other for other, theirs in self.words.items() if theirs == words and other != label]:
                raise ValueError(
                    f"every label needs words of its own, but {label} and {same[0]} are both {words!r}: change one of "
                    "them with --verbalisers"
                )
