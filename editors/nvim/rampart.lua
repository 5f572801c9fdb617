-- Neovim 0.11 and later: put this file into `lsp/` of your configuration and call `vim.lsp.enable("rampart")`.
return {
  cmd = { "rampart", "lsp" },
  filetypes = {
    "python", "javascript", "javascriptreact", "typescript", "typescriptreact", "go", "java", "ruby", "c", "cpp",
  },
  root_markers = { ".rampart.toml", "pyproject.toml", ".git" },
}
