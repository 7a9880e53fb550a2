# frozen_string_literal: true

require "json"
require_relative "template"

module Mail
  # Sends one letter at a time.
  class Mailer
    attr_reader :sent

    def initialize(transport, retries: 3)
      @transport = transport
      @retries = retries
      @sent = []
    end

    def deliver(letter)
      attempts = 0
      begin
        attempts += 1
        @transport.call(letter.to_h)
        @sent << letter
      rescue IOError => error
        retry if attempts < @retries
        raise DeliveryError, "gave up after #{attempts}: #{error.message}"
      end
    end

    def self.default
      @default ||= new(->(hash) { puts JSON.generate(hash) })
    end
  end

  class DeliveryError < StandardError; end
end
