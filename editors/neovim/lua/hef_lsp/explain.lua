-- `:Hef explain`: a buffer with what stood behind the last suggestion. <CR> on a place goes there.
local Client = require('hef_lsp.client')

local M = {}

---@class hef_lsp.Place
---@field file string
---@field line integer Counts from 1.

---@param explanation table<string, any>
---@return string? root The folder that the paths are relative to.
local function root_of(explanation)
  local file = vim.uri_to_fname(explanation.uri)
  if vim.endswith(file, '/' .. explanation.path) then
    return file:sub(1, -#explanation.path - 2)
  end
end

---@param explanation table<string, any>
---@return string[] lines, table<integer, hef_lsp.Place> places By line.
function M.layout(explanation)
  local lines, places = {}, {}
  local root = root_of(explanation)
  local function add(text, place)
    for _, line in ipairs(vim.split(text, '\n', { plain = true })) do
      table.insert(lines, line)
      places[#lines] = place
    end
  end
  local function place_of(path, line)
    return root and { file = vim.fs.joinpath(root, path), line = line }
  end

  local line = explanation.line + 1
  add(('# %s:%d'):format(explanation.path, line), place_of(explanation.path, line))
  add('')
  add(('mode %s, %s'):format(explanation.mode, explanation.source))
  add(
    ('tokens: %d of context, %d in the prompt, %d reused, %d decoded'):format(
      explanation.n_context_tokens,
      explanation.n_prompt_tokens,
      explanation.n_reused,
      explanation.n_decoded
    )
  )
  local timings = explanation.timings or {}
  add(
    ('ms: %.0f in all, %.0f retrieve, %.0f prefill, %.0f decode'):format(
      timings.total_ms or 0,
      timings.retrieve_ms or 0,
      timings.prefill_ms or 0,
      timings.decode_ms or 0
    )
  )
  for _, note in ipairs(explanation.notes or {}) do
    add('note: ' .. note)
  end
  for i, suggestion in ipairs(explanation.suggestions or {}) do
    add('')
    add(('## Suggestion %d'):format(i))
    add('    ' .. suggestion:gsub('\n', '\n    '))
  end
  add('')
  add(('## Retrieved: %d'):format(#explanation.hits))
  for _, hit in ipairs(explanation.hits) do
    local place = place_of(hit.path, math.max(1, hit.start_line))
    add('')
    local head = '%s:%d-%d  %s  score %.2f  %s'
    local used = hit.used and 'used' or 'not used'
    add(head:format(hit.path, hit.start_line, hit.end_line, hit.kind, hit.score, used), place)
    add('    ' .. vim.trim(hit.text):gsub('\n', '\n    '), place)
  end
  return lines, places
end

---@param places table<integer, hef_lsp.Place>
local function jump(places)
  local place = places[vim.api.nvim_win_get_cursor(0)[1]]
  if not place or vim.fn.filereadable(place.file) == 0 then
    Client.say('no file on this line')
    return
  end
  vim.cmd.wincmd('p')
  vim.cmd.edit(vim.fn.fnameescape(place.file))
  local last = vim.api.nvim_buf_line_count(0)
  vim.api.nvim_win_set_cursor(0, { math.min(place.line, last), 0 })
end

---@param explanation table<string, any>
local function show(explanation)
  local lines, places = M.layout(explanation)
  vim.cmd.new()
  local bufnr = vim.api.nvim_get_current_buf()
  vim.bo[bufnr].buftype = 'nofile'
  vim.bo[bufnr].bufhidden = 'wipe'
  vim.bo[bufnr].swapfile = false
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, lines)
  vim.bo[bufnr].modifiable = false
  vim.bo[bufnr].filetype = 'hef-explain'
  vim.bo[bufnr].syntax = 'markdown'
  for _, lhs in ipairs({ '<CR>', 'gf' }) do
    vim.keymap.set('n', lhs, function()
      jump(places)
    end, { buffer = bufnr, desc = 'hef-lsp: go to the place on this line' })
  end
  vim.keymap.set('n', 'q', vim.cmd.close, { buffer = bufnr, desc = 'hef-lsp: close' })
end

function M.open()
  local bufnr = vim.api.nvim_get_current_buf()
  local arguments = Client.of(bufnr) and { vim.uri_from_bufnr(bufnr) } or {}
  Client.command('hef.explain', arguments, function(explanation)
    if explanation then
      show(explanation)
    else
      Client.say('nothing was suggested here yet')
    end
  end)
end

return M
