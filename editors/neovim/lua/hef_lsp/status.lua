-- What the server is doing: the last `hef/status` of each client, and it as a statusline component.
local M = {}

---@class hef_lsp.Report
---@field state string 'starting', 'loading the models', a step of the index, 'ready', 'paused', 'error'
---@field message string
---@field done integer
---@field total integer 0 where there is no telling how much is to do

---@type table<integer, hef_lsp.Report>
local reports = {}

local function changed()
  vim.cmd.redrawstatus({ bang = true })
  vim.api.nvim_exec_autocmds('User', { pattern = 'HefStatus', modeline = false })
end

---@param report hef_lsp.Report
---@param client_id integer
function M.heard(report, client_id)
  reports[client_id] = report
  changed()
end

---@param client_id integer
---@param code integer
function M.ended(client_id, code)
  vim.schedule(function()
    reports[client_id] = nil
    changed()
    if code ~= 0 and vim.v.exiting == vim.NIL then
      local advice = 'the server ended with code %d; see :checkhealth hef_lsp and the LSP log'
      require('hef_lsp.client').say(advice:format(code), vim.log.levels.WARN)
    end
  end)
end

---@param bufnr? integer
---@return hef_lsp.Report?
function M.report(bufnr)
  local client = require('hef_lsp.client').of(bufnr)
  return client
    and (reports[client.id] or { state = 'starting', message = '', done = 0, total = 0 })
end

-- One short text for a statusline; empty where hef-lsp is not attached.
---@param bufnr? integer
---@return string
function M.component(bufnr)
  local report = M.report(bufnr)
  if not report then
    return ''
  end
  if report.total > 0 and report.state ~= 'ready' then
    return ('hef: %s %d%%'):format(report.state, math.floor(100 * report.done / report.total))
  end
  return 'hef: ' .. report.state
end

return M
