// The part of the Python extension's API that is used: the active environment is the one that the setting names.

const vscode = require("vscode");

const SECTION = "python";
const NAME = "defaultInterpreterPath";

exports.activate = async (context) => {
  const changed = new vscode.EventEmitter();
  const active = () => ({ id: NAME, path: vscode.workspace.getConfiguration(SECTION).get(NAME) });
  context.subscriptions.push(
    changed,
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(SECTION)) {
        changed.fire(active());
      }
    }),
  );
  const resolveEnvironment = async (environment) => ({ executable: { uri: vscode.Uri.file(environment.path) } });
  return {
    environments: { getActiveEnvironmentPath: active, resolveEnvironment, onDidChangeActiveEnvironmentPath: changed.event },
  };
};
