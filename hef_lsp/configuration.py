"""Where settings come from: `initializationOptions`, then what the editor answers or pushes, then commands.

Owns the order of these sources and the complaints, each said once. What a setting is stands in
`hef_lsp.settings`. Event loop only.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

from lsprotocol import types as lsp

from hef_lsp.client import Client, NoAnswer
from hef_lsp.settings import ContextMode, Settings, settings_from_options

log = logging.getLogger(__name__)

SECTION = "hef"
EDITORS_OWN = frozenset({"trace", "server"})
"""Entries of the section that editor extensions keep for themselves: the log level, the server's path."""


class Configuration:
    """`settings` is always valid: a bad entry keeps what was there before it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._base = Settings()
        self._given = Settings()
        self._mode: ContextMode | None = None
        self._problems: list[str] = []

    @property
    def settings(self) -> Settings:
        if self._mode is None:
            return self._given
        return dataclasses.replace(
            self._given, context=dataclasses.replace(self._given.context, mode=self._mode)
        )

    def take_initial(self, options: object) -> None:
        """From `initializationOptions`; later sources build on it. Complaints wait for `complain`."""
        self._base, self._problems = settings_from_options(_ours(options))
        self._given = self._base

    def complain(self) -> None:
        """Says what was wrong in the initial options: nothing may be shown before `initialized`."""
        for problem in self._problems:
            self._client.say_once(problem)

    def take_pushed(self, options: object) -> None:
        """From `workspace/didChangeConfiguration`; nothing in it means nothing was changed."""
        if options:
            self._given = self._checked(options)

    async def pull(self) -> None:
        """Asks the editor, if it answers such questions; what it does not say stays as it is."""
        if not self._client.can_configure:
            return
        params = lsp.ConfigurationParams([lsp.ConfigurationItem(section=SECTION)])
        try:
            answer = await self._client.ask(lsp.WORKSPACE_CONFIGURATION, params)
        except NoAnswer as error:
            log.info("%s", error)
            return
        if isinstance(answer, list | tuple) and answer:
            self._given = self._checked(answer[0])

    async def register(self) -> None:
        """Asks to be told of changes, where the editor wants to be asked."""
        if not self._client.wants_configuration_registered:
            return
        registration = lsp.Registration("hef-configuration", lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
        try:
            await self._client.ask(lsp.CLIENT_REGISTER_CAPABILITY, lsp.RegistrationParams([registration]))
        except NoAnswer as error:
            log.info("%s", error)

    def set_context(self, mode: ContextMode) -> None:
        """A command's choice stands above the settings until the server ends."""
        self._mode = mode

    def _checked(self, options: object) -> Settings:
        settings, problems = settings_from_options(_ours(options), self._base)
        for problem in problems:
            self._client.say_once(problem)
        return settings


def _ours(options: object) -> object:
    """`options` without its ``hef`` wrapping and without what is the editor's own."""
    if isinstance(options, Mapping) and isinstance(options.get(SECTION), Mapping):
        options = options[SECTION]
    if not isinstance(options, Mapping):
        return options
    return {key: value for key, value in options.items() if key not in EDITORS_OWN}
