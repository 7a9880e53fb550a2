-- `:checkhealth hef_lsp`: from Neovim's version to the server's models, with what to do.
local M = {}

local health = vim.health
local DOCTOR_MS = 60000

local function check_neovim()
  health.start('hef_lsp: Neovim')
  if vim.fn.has('nvim-0.11') == 0 then
    health.error('Neovim 0.11 or later is needed')
    return
  end
  health.ok(tostring(vim.version()))
  local native = require('hef_lsp.config').is_native()
  health.ok('ghost text is drawn by ' .. (native and 'Neovim' or 'the plugin'))
  for _, problem in ipairs(require('hef_lsp.config').problems(vim.g.hef_lsp or {})) do
    health.error(problem, 'see :help hef-lsp-options')
  end
end

---@return string? program
local function check_program()
  health.start('hef_lsp: server')
  local config = vim.lsp.config.hef_lsp
  local cmd = config and config.cmd
  if type(cmd) ~= 'table' then
    health.error('lsp/hef_lsp.lua is not on the runtime path', 'see :help hef-lsp-install')
    return nil
  end
  local program = vim.fn.exepath(cmd[1])
  if program == '' then
    health.error(cmd[1] .. ' is not on PATH', {
      'install it: pip install hef-lsp, or `make install` in a clone',
      "or name it: vim.lsp.config('hef_lsp', { cmd = { '/path/to/hef-lsp', 'serve' } })",
    })
    return nil
  end
  health.ok(program)
  if vim.lsp.is_enabled and not vim.lsp.is_enabled('hef_lsp') then
    health.warn('not enabled', "put vim.lsp.enable('hef_lsp') into init.lua")
  end
  return cmd[1]
end

local function check_clients()
  local clients = vim.lsp.get_clients({ name = 'hef_lsp' })
  if #clients == 0 then
    health.info('not running; open a file of a project')
  end
  for _, client in ipairs(clients) do
    local params = { command = 'hef.status', arguments = {} }
    local answer = client:request_sync('workspace/executeCommand', params, 5000)
    local status = answer and answer.result
    local place = ('client %d in %s'):format(client.id, client.root_dir or 'no folder')
    if not status then
      health.error(place .. ' does not answer', 'see the LSP log: :lua =vim.lsp.get_log_path()')
    elseif status.state == 'error' then
      health.error(('%s: %s'):format(place, status.message))
    else
      local model = status.model ~= vim.NIL and status.model or 'no model yet'
      health.ok(('%s: %s, %s, context %s'):format(place, status.state, model, status.context))
    end
  end
end

---@param program string
local function check_doctor(program)
  health.start('hef_lsp: hef-lsp doctor')
  local folder = vim.fs.root(0, '.git') or vim.fn.getcwd()
  local started, run = pcall(vim.system, { program, 'doctor', '--json', folder }, { text = true })
  local result = started and run:wait(DOCTOR_MS)
  local read, findings = pcall(vim.json.decode, result and result.stdout or '')
  if not read or type(findings) ~= 'table' then
    health.warn('`hef-lsp doctor` said nothing that can be read', 'run it in a terminal')
    return
  end
  local say = { good = health.ok, note = health.info, bad = health.error }
  for _, finding in ipairs(findings) do
    local text = finding.subject .. ': ' .. finding.fact
    if finding.verdict == 'bad' then
      say.bad(text, finding.advice)
    elseif say[finding.verdict] then
      say[finding.verdict](finding.advice ~= '' and text .. ' (' .. finding.advice .. ')' or text)
    end
  end
end

function M.check()
  check_neovim()
  local program = check_program()
  check_clients()
  if program then
    check_doctor(program)
  end
end

return M
