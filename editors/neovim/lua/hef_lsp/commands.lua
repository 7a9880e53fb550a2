-- `:Hef`: its words, their completion, and what each does.
local Client = require('hef_lsp.client')

local M = {}

---@class hef_lsp.Command
---@field arguments? string[] What may follow.
---@field run fun(argument?: string)

---@param status table<string, any> The answer of `hef.status`.
---@return string[]
local function lines_of(status)
  local index = status.index or {}
  local lines = {
    ('state     %s %s'):format(status.state, status.message or ''),
    ('model     %s'):format(status.model ~= vim.NIL and status.model or 'none yet'),
    ('context   %s'):format(status.context),
    ('index     %d files, %d chunks, %d to do'):format(
      index.files or 0,
      index.chunks or 0,
      index.pending or 0
    ),
  }
  for _, note in ipairs(status.notes or {}) do
    table.insert(lines, 'note      ' .. note)
  end
  return lines
end

---@type table<string, hef_lsp.Command>
M.commands = {
  status = {
    run = function()
      Client.command('hef.status', {}, function(status)
        Client.say('\n' .. table.concat(lines_of(status), '\n'))
      end)
    end,
  },
  pause = {
    arguments = { 'on', 'off' },
    run = function(argument)
      local wanted = {}
      if argument then
        wanted = { argument == 'on' }
      end
      Client.command('hef.pause', wanted, function(is_paused)
        Client.say(is_paused and 'the index stands still' or 'the index goes on')
      end)
    end,
  },
  context = {
    arguments = { 'auto', 'dense', 'text', 'none' },
    run = function(argument)
      if argument then
        Client.command('hef.setContext', { argument }, function(mode)
          Client.say('context: ' .. mode)
        end)
      else
        Client.command('hef.status', {}, function(status)
          Client.say('context: ' .. status.context)
        end)
      end
    end,
  },
  explain = {
    run = function()
      require('hef_lsp.explain').open()
    end,
  },
  reindex = {
    run = function()
      Client.command('hef.reindex', {}, function()
        Client.say('the index is built anew')
      end)
    end,
  },
  toggle = {
    arguments = { 'on', 'off' },
    run = function(argument)
      local wanted = nil
      if argument then
        wanted = argument == 'on'
      end
      require('hef_lsp').toggle(wanted)
      Client.say('ghost text ' .. (require('hef_lsp').is_enabled() and 'on' or 'off'))
    end,
  },
}

---@param words string[]
function M.run(words)
  local command = M.commands[words[1]]
  if not command then
    local known = vim.tbl_keys(M.commands)
    table.sort(known)
    local message = ('no command %s; there are %s'):format(words[1], table.concat(known, ', '))
    Client.say(message, vim.log.levels.ERROR)
    return
  end
  local allowed = command.arguments or {}
  if #words > 2 or (words[2] and not vim.list_contains(allowed, words[2])) then
    local may_follow = #allowed > 0 and table.concat(allowed, ', ') or 'nothing'
    Client.say((':Hef %s takes %s'):format(words[1], may_follow), vim.log.levels.ERROR)
    return
  end
  command.run(words[2])
end

---@param lead string
---@param line string
---@return string[]
function M.complete(lead, line)
  local words = vim.split(line:match('Hef!?%s+(.*)$') or '', '%s+')
  local found = #words <= 1 and vim.tbl_keys(M.commands)
    or (#words == 2 and M.commands[words[1]] or {}).arguments
    or {}
  found = vim.tbl_filter(function(word)
    return vim.startswith(word, lead)
  end, found)
  table.sort(found)
  return found
end

return M
