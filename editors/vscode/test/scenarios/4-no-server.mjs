// No server anywhere: said once, with what can be done; a wrong path is named, a right one starts it; the walkthrough.

export const host = () => ({
  environment: { PATH: "/usr/bin:/bin" },
  settings: { "hef.server.usePythonEnvironment": false },
});

export default async function (editor, step) {
  await editor.waitForStatus(/hef: no server/);
  const offer = editor.notification("the server was not found");
  await offer.getByRole("button", { name: "Set Up", exact: true }).waitFor();
  await editor.picture("no-server");
  step("setting it up is offered");
  await offer.getByRole("button", { name: "Name Its Path" }).click();
  await editor.answer(process.execPath);
  await editor.waitForStatus(/hef: error/);
  step("a path without a server is an error in the status bar");

  await editor.command("hef: Name the Server's Path");
  await editor.answer(process.env.HEF_TEST_SERVER);
  await editor.waitForStatus(/hef: ready/);
  step("with the right path it starts");

  await editor.command("hef: Name the Server's Path");
  await editor.answer("");
  await editor.waitForStatus(/hef: no server/);
  await editor.command("Welcome: Open Walkthrough");
  await editor.pick("Complete code with the whole repository");
  await editor.page.locator(".getting-started-step", { hasText: "Have the server" }).first().waitFor();
  step("the walkthrough opens");
  await editor.picture("walkthrough");
}
