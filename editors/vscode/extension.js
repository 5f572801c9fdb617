// Starts `rampart lsp` and hands it the Python files that are open.
const { workspace } = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

let client;

exports.activate = async (context) => {
  const command = workspace.getConfiguration("rampart").get("program", "rampart");
  const server = { command, args: ["lsp"], transport: TransportKind.stdio };
  const languages = [
    "python", "javascript", "javascriptreact", "typescript", "typescriptreact", "go", "java", "ruby", "c", "cpp",
  ];
  const documents = languages.flatMap((language) => [
    { language, scheme: "file" },
    { language, scheme: "untitled" },
  ]);
  client = new LanguageClient("rampart", "Rampart", server, { documentSelector: documents });
  context.subscriptions.push(client);
  await client.start();
};

exports.deactivate = () => client?.stop();
